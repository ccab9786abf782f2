#include "data/resident_data.h"

namespace cuvae {

ResidentData::ResidentData(Backend& backend, const Dataset& data, std::size_t most_bytes) : data_(data) {
  view_ = {data.data(), data.rows(), data.cols(), data.dtype()};
  if (backend.reads_host_memory()) return;
  const std::size_t bytes = static_cast<std::size_t>(data.rows()) * row_bytes();
  whole_ = bytes <= (most_bytes > 0 ? most_bytes : backend.available_memory() / 10 * 9);
  if (!whole_) return;
  copy_ = backend.allocate(bytes);
  backend.upload(copy_.data(), data.data(), bytes);
  view_.data = copy_.data();
}

}  // namespace cuvae
