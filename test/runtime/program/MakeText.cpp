// Writes the text data of a toy program as C++: MakeText MODEL_DIRECTORY TEMPLATE OUTPUT.

#include "frontends/checkpoint/TokenizerCompiler.h"

#include <cstdio>
#include <fstream>
#include <sstream>

static std::string readAll(const std::string &path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

static void writeArray(std::ostream &out, const char *name, const std::string &bytes) {
  out << "alignas(64) extern const uint8_t moec_program_" << name << "[] = {";
  for (unsigned char byte : bytes)
    out << int(byte) << ",";
  out << "0};\nextern const uint64_t moec_program_" << name << "_size = " << bytes.size() << ";\n";
}

int main(int argc, char **argv) {
  if (argc != 4)
    return 2;
  moec::Result<std::optional<std::vector<uint8_t>>> tables = moec::compileTokenizerIn(argv[1], "");
  if (!tables.ok() || !*tables) {
    fprintf(stderr, "%s\n", tables.ok() ? "no tokenizer.json" : tables.status().message.c_str());
    return 1;
  }
  std::ofstream out(argv[3], std::ios::binary);
  out << "#include <cstdint>\nextern \"C\" {\n";
  writeArray(out, "tokenizer", std::string((*tables)->begin(), (*tables)->end()));
  writeArray(out, "template", readAll(argv[2]));
  writeArray(out, "generation", readAll(std::string(argv[1]) + "/generation_config.json"));
  out << "}\n";
  return out.flush() ? 0 : 1;
}
