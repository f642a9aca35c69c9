// Writes the C header of a graph's library.

#include "tools/moec/GraphHeader.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Path.h"

#include <fmt/format.h>

#include <set>

using namespace moec;

/// A name as C spells constants: letters, digits and underscores, upper case.
static std::string constantName(const std::string &name) {
  std::string text;
  for (char character : name)
    text += llvm::isAlnum(character) ? llvm::toUpper(character) : '_';
  return text;
}

/// A name as a comment can have it.
static std::string commentText(const std::string &name) {
  std::string text;
  for (char character : name)
    text += llvm::isPrint(character) && character != '*' && character != '/' ? character : '?';
  return text;
}

static std::string shapeText(const ManifestTensor &tensor) {
  std::string text;
  for (const ManifestSize &size : tensor.shape)
    text += fmt::format("{}{}", text.empty() ? "" : ", ",
                        size.size >= 0           ? std::to_string(size.size)
                        : size.dimension.empty() ? "?"
                                                 : commentText(size.dimension));
  return text;
}

/// One enumeration: a constant for each tensor, then their number.
static std::string enumeration(const std::vector<ManifestTensor> &tensors,
                               const std::string &prefix, const std::string &kind) {
  std::string text = "enum {\n";
  std::set<std::string> taken;
  for (size_t number = 0; number < tensors.size(); ++number) {
    std::string name = fmt::format("{}_{}_{}", prefix, kind, constantName(tensors[number].name));
    if (!taken.insert(name).second)
      name += fmt::format("_{}", number);
    text += fmt::format("  {} = {}, /* \"{}\": {} [{}] */\n", name, number,
                        commentText(tensors[number].name), tensors[number].type,
                        shapeText(tensors[number]));
  }
  return text + fmt::format("  {}_{}S = {}\n}};\n", prefix, kind, tensors.size());
}

std::string moec::graphHeaderPath(const std::string &library) {
  llvm::SmallString<128> path(library);
  llvm::sys::path::replace_extension(path, "h");
  return path.str().str();
}

std::string moec::writeGraphHeader(const ManifestGraph &graph, const std::string &library) {
  std::string prefix = constantName(llvm::sys::path::stem(library).str());
  if (prefix.empty() || llvm::isDigit(prefix.front()))
    prefix = "GRAPH_" + prefix;
  return fmt::format("/* Numbers of the inputs and outputs of {}, for moec_graph_run of "
                     "moec/moec.h. */\n\n"
                     "#ifndef {}_H\n#define {}_H\n\n{}\n{}\n#endif\n",
                     commentText(llvm::sys::path::filename(library).str()), prefix, prefix,
                     enumeration(graph.inputs, prefix, "INPUT"),
                     enumeration(graph.outputs, prefix, "OUTPUT"));
}
