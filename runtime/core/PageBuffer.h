// A growing block of memory for what a step works in; its contents do not survive growth.

#ifndef MOEC_RUNTIME_CORE_PAGE_BUFFER_H
#define MOEC_RUNTIME_CORE_PAGE_BUFFER_H

#include "runtime/core/Result.h"
#include "runtime/cpu/NodeMemory.h"

#include <cstdint>
#include <string_view>

namespace moec {

class PageBuffer {
public:
  PageBuffer() = default;
  ~PageBuffer();
  PageBuffer(const PageBuffer &) = delete;
  PageBuffer &operator=(const PageBuffer &) = delete;

  /// Where its memory shall lie; before the first `ensure`.
  void setNodes(const NodeSet &set) { nodes = set; }

  /// Makes room for `bytes`. Code::Resource, saying that `use` lacks memory, where there is none;
  /// the buffer is empty then.
  Status ensure(int64_t bytes, std::string_view use);

  /// Page-aligned; null before the first `ensure`.
  uint8_t *data() const { return base; }
  int64_t size() const { return capacity; }

private:
  uint8_t *base = nullptr;
  int64_t capacity = 0;
  NodeSet nodes;
};

} // namespace moec

#endif // MOEC_RUNTIME_CORE_PAGE_BUFFER_H
