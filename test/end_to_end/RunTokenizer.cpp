// Runs the tokenizer of a model directory: RunTokenizer DIRECTORY. Standard input has a JSON array
// of objects, each with a `text` or with `ids`; each comes back on standard output with `ids` (no
// token added around the text) and `decoded`.

#include "frontends/checkpoint/Checkpoint.h"
#include "frontends/checkpoint/TokenizerCompiler.h"
#include "runtime/text/Tokenizer.h"

#include <cstdio>
#include <iostream>
#include <iterator>

using namespace moec;
using nlohmann::json;

static int failed(const Status &status) {
  fprintf(stderr, "%s\n", status.message.c_str());
  return static_cast<int>(status.code);
}

int main(int argc, char **argv) {
  if (argc != 2)
    return 2;
  Result<std::optional<std::string>> file = readOptional(argv[1], "config.json", 1 << 20, false);
  if (!file.ok() || !*file)
    return 2;
  Result<Config> config = Config::parse(**file, "config.json");
  if (!config.ok())
    return failed(config.status());
  Result<std::optional<std::vector<uint8_t>>> tables =
      compileTokenizerIn(argv[1], config->modelType());
  if (!tables.ok() || !*tables)
    return failed(tables.ok() ? Status{Code::Usage, "no tokenizer"} : tables.status());
  Result<Tokenizer> tokenizer = Tokenizer::open(**tables);
  if (!tokenizer.ok())
    return failed(tokenizer.status());

  std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  json rows = json::parse(input, nullptr, false);
  for (json &row : rows) {
    if (row.contains("text")) {
      Result<std::vector<int32_t>> ids =
          tokenizer->encode(row["text"].get<std::string>(), AddSpecial::None);
      if (!ids.ok())
        return failed(ids.status());
      row["ids"] = *ids;
    }
    row["decoded"] = tokenizer->decode(row["ids"].get<std::vector<int32_t>>());
    row.erase("text");
  }
  std::cout << rows.dump() << "\n";
  return std::cout.flush() ? 0 : 1;
}
