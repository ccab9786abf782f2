#include "data/resident_data.h"

namespace cuvae {
namespace {

ConstView view_of(const Dataset& data) { return {data.data(), data.rows(), data.cols(), data.dtype()}; }

Buffer copied(Backend& backend, ConstView& view) {
  const std::size_t bytes = static_cast<std::size_t>(view.rows) * row_bytes(view);
  Buffer copy = backend.allocate(bytes);
  backend.upload(copy.data(), view.data, bytes);
  view.data = copy.data();
  return copy;
}

}  // namespace

ResidentData::ResidentData(Backend& backend, const Dataset& data, std::size_t most_bytes)
    : data_(data), view_(view_of(data)) {
  if (data.conditions() != nullptr) conditions_ = view_of(*data.conditions());
  if (backend.reads_host_memory()) return;
  const std::size_t bytes = static_cast<std::size_t>(data.rows()) * (row_bytes(view_) + row_bytes(conditions_));
  whole_ = bytes <= (most_bytes > 0 ? most_bytes : backend.available_memory() / 10 * 9);
  if (!whole_) return;
  copy_ = copied(backend, view_);
  if (conditions_) copy_of_conditions_ = copied(backend, conditions_);
}

}  // namespace cuvae
