// The memory of a backend.
#include "cuvae/backend.h"

#include <utility>

#include "ops/check.h"

namespace cuvae {

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(backend_, other.backend_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) backend_->do_free(data_);
}

void Buffer::refuse(Index rows, Index cols, DType type) const {
  throw Error("view: a buffer of " + std::to_string(bytes_) + " bytes does not hold " +
              shape(ConstView{nullptr, rows, cols, type}));
}

Buffer Backend::allocate(std::size_t bytes) {
  Buffer b;
  b.data_ = do_allocate(bytes);
  b.backend_ = this;
  b.bytes_ = bytes;
  return b;
}
// Without bytes the pointers may be null, which memcpy does not allow.
void Backend::upload(void* device, const void* host, std::size_t bytes) {
  if (bytes > 0) do_upload(device, host, bytes);
}
void Backend::download(void* host, const void* device, std::size_t bytes) {
  if (bytes > 0) do_download(host, device, bytes);
}
void Backend::zero(void* device, std::size_t bytes) { do_zero(device, bytes); }
void Backend::synchronize() { do_synchronize(); }
std::unique_ptr<DoubleBuffer> Backend::make_double_buffer(std::size_t bytes_of_a_half) {
  return do_make_double_buffer(bytes_of_a_half);
}

}  // namespace cuvae
