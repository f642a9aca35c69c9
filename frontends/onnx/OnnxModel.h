// An ONNX model as plain data: values numbered, functions inlined, tensors as places in files.

#ifndef MOEC_FRONTENDS_ONNX_ONNXMODEL_H
#define MOEC_FRONTENDS_ONNX_ONNXMODEL_H

#include "frontends/onnx/ElementType.h"
#include "frontends/onnx/NameTable.h"
#include "runtime/core/File.h"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace moec {

/// In the place of a value: none is given, as for an optional input; of a file: none; of a call:
/// the model's own graphs.
inline constexpr uint32_t kAbsent = UINT32_MAX;

/// One size of a shape.
struct OnnxDim {
  int64_t size = -1;       ///< negative where it is not known
  std::string_view symbol; ///< then equal symbols are equal sizes; empty where that too is unknown
};

/// The type of a tensor. (Sequences, optionals, maps and sparse tensors are refused.)
struct OnnxType {
  ElementType element = ElementType::Undefined; ///< where it is not said
  std::optional<std::vector<OnnxDim>> shape;
};

/// A constant: bytes laid out as raw_data has them, or strings.
struct OnnxTensor {
  std::string_view name;
  ElementType type = ElementType::Undefined;
  std::vector<int64_t> dims;
  int64_t elements = 0;
  uint64_t bytes = 0;
  uint32_t file = kAbsent;      ///< where the bytes lie, in OnnxModel::files, or kAbsent
  uint64_t offset = 0;          ///< of the first byte, in the file
  std::vector<uint8_t> decoded; ///< the bytes, where they lie in no file
  std::vector<std::string> strings;
};

struct OnnxGraph;

/// In the body of a function, before it is inlined: the value of an attribute of the function.
struct OnnxReference {
  std::string_view attribute;
  size_t kind = 0; ///< index of the value wanted
};

/// What an operator is told besides its inputs.
struct OnnxAttribute {
  using Value =
      std::variant<std::monostate, float, int64_t, std::string, std::shared_ptr<const OnnxTensor>,
                   std::unique_ptr<OnnxGraph>, std::vector<float>, std::vector<int64_t>,
                   std::vector<std::string>, OnnxReference>;

  std::string_view name;
  Value value;
};

/// An application of an operator.
struct OnnxNode {
  std::string_view name;   ///< may be empty, and need not be the only one of its kind
  std::string_view domain; ///< empty for ONNX's own operators
  std::string_view op;
  std::string_view overload; ///< tells functions apart
  int64_t version = 0;       ///< of the domain's operators, as imported where the node was written
  std::vector<uint32_t> inputs, outputs; ///< values, or kAbsent
  std::vector<OnnxAttribute> attributes;
  uint32_t call = kAbsent; ///< in OnnxModel::calls: whose body this was

  const OnnxAttribute *find(std::string_view attribute) const;
};

struct OnnxInput {
  uint32_t value = kAbsent;
  std::string_view name;
  OnnxType type;
  /// In `initializers`: what the caller may leave it at; or kAbsent.
  uint32_t preset = kAbsent;
};

struct OnnxOutput {
  uint32_t value = kAbsent; ///< may come of an outer graph
  std::string_view name;
  OnnxType type; ///< as the file says; wants to be checked
};

struct OnnxInitializer {
  uint32_t value = kAbsent;
  OnnxTensor tensor;
};

/// Nodes stand in an order in which each comes after those it reads.
struct OnnxGraph {
  std::string_view name;
  std::vector<OnnxInput> inputs;
  std::vector<OnnxOutput> outputs;
  std::vector<OnnxInitializer> initializers;
  std::vector<OnnxNode> nodes;
  /// Values of outer graphs that this one, or one in it, reads; each once.
  std::vector<uint32_t> captures;
};

struct OnnxValue {
  std::string_view name; ///< in the graph or function body that it is written in
  uint32_t call = kAbsent;
};

/// One use of a function.
struct OnnxCall {
  std::string_view node;
  uint32_t function = 0;     ///< in OnnxModel::functions
  uint32_t caller = kAbsent; ///< the call in whose body this one is
};

/// What is left of a function after its calls became its nodes.
struct OnnxFunctionFacts {
  std::string_view domain, name, overload;
  size_t nodes = 0; ///< of its body
  size_t calls = 0;
};

/// The version of a domain's operators; empty is ONNX's own domain.
struct OnnxOperatorSet {
  std::string_view domain;
  int64_t version = 0;
};

/// The model's file, or one of external data.
struct OnnxFile {
  std::string name; ///< as the model spells it, relative to its directory
  std::string path; ///< to open it by
  uint64_t size = 0;
  bool isPresent = true; ///< false only where OnnxOptions::headersOnly
  MappedFile map;
};

/// What readOnnx() makes of a file; whatever refers to names points into it.
struct OnnxModel {
  int64_t irVersion = 0;
  std::string producer, producerVersion;
  std::vector<OnnxOperatorSet> operatorSets;
  OnnxGraph graph;
  std::vector<OnnxValue> values;
  std::vector<OnnxCall> calls;
  std::vector<OnnxFunctionFacts> functions;
  std::vector<OnnxFile> files;      ///< the first is the model's own
  std::span<const uint8_t> message; ///< the model's own file
  std::vector<std::string> notices; ///< what is in the file and left unread
  NameTable names;

  /// The bytes of a tensor that is not of strings; where files may be missing, none if it is.
  std::span<const uint8_t> bytesOf(const OnnxTensor &tensor) const;
  /// The name of a value for people: in bodies of functions below the names of the calls.
  std::string nameOf(uint32_t value) const;
  /// The same of a node, which without a name is called by its operator.
  std::string nameOf(const OnnxNode &node) const;
};

/// A name as messages show it: one line, printable, bounded.
std::string shownName(std::string_view name);
/// "Add" or "com.microsoft::MoE".
std::string shownOp(std::string_view domain, std::string_view op);

} // namespace moec

#endif // MOEC_FRONTENDS_ONNX_ONNXMODEL_H
