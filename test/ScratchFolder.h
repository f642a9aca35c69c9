// A folder for one test, with files of a model in it; gone when the test ends.

#ifndef MOEC_TEST_SCRATCHFOLDER_H
#define MOEC_TEST_SCRATCHFOLDER_H

#include "runtime/core/Safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace moec {

class ScratchFolder {
public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "moec-test-XXXXXX").string();
    root = std::filesystem::canonical(mkdtemp(name.data()));
  }
  ~ScratchFolder() { std::filesystem::remove_all(root); }
  ScratchFolder(const ScratchFolder &) = delete;

  std::string path(const std::string &name = "") const {
    return name.empty() ? root.string() : (root / name).string();
  }
  /// Writes a file, and the folders that it lies in.
  std::string write(const std::string &name, const std::string &text) const {
    std::filesystem::create_directories((root / name).parent_path());
    std::ofstream(root / name, std::ios::binary) << text;
    return path(name);
  }
  std::string read(const std::string &name) const {
    std::ifstream file(root / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool has(const std::string &name) const { return std::filesystem::exists(root / name); }
  size_t entries() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(root), {}));
  }

private:
  std::filesystem::path root;
};

/// A safetensors file: the length of `json`, `json`, and `dataBytes` bytes of data.
inline std::string safetensorsFile(const std::string &json, size_t dataBytes) {
  uint64_t length = json.size();
  std::string file(reinterpret_cast<const char *>(&length), 8);
  file += json;
  for (size_t index = 0; index < dataBytes; ++index)
    file += static_cast<char>(index * 37 + 11);
  return file;
}

/// A tensor of a test, owning its bytes.
struct TestTensor {
  std::string name;
  DataType type = DataType::F32;
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;
};

inline void writeTensors(const std::string &path, const std::vector<TestTensor> &tensors) {
  std::vector<SafetensorsOutput> outputs;
  for (const TestTensor &tensor : tensors)
    outputs.push_back({tensor.name, tensor.type, tensor.shape, tensor.bytes});
  Status status = writeSafetensors(path, outputs);
  ASSERT_TRUE(status.ok()) << status.message;
}

} // namespace moec

/// The result failed with `CODE` and says `TEXT`.
#define EXPECT_FAILS(RESULT, CODE, TEXT)                                                           \
  do {                                                                                             \
    const auto &outcome = (RESULT);                                                                \
    ASSERT_FALSE(outcome.ok());                                                                    \
    EXPECT_EQ(::moec::statusOf(outcome).code, CODE) << ::moec::statusOf(outcome).message;          \
    EXPECT_NE(::moec::statusOf(outcome).message.find(TEXT), std::string::npos)                     \
        << ::moec::statusOf(outcome).message;                                                      \
  } while (false)

namespace moec {
inline const Status &statusOf(const Status &status) { return status; }
template <typename T> const Status &statusOf(const Result<T> &result) { return result.status(); }
} // namespace moec

#endif // MOEC_TEST_SCRATCHFOLDER_H
