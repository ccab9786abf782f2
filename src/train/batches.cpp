#include "train/batches.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "cpu/team.h"
#include "math/philox.h"

namespace cuvae {
namespace {

constexpr std::size_t kMostHalfBytes = std::size_t{64} << 20;  // large enough for efficient copies

}  // namespace

void shuffle(Rows& rows, std::uint64_t seed, Stream stream, std::uint32_t step) {
  for (std::size_t i = rows.size(); i-- > 1;) {
    const std::uint64_t word = math::philox_word(seed, static_cast<std::uint32_t>(stream), step, i);
    std::swap(rows[i], rows[word * (i + 1) >> 32]);
  }
}

Batches::Batches(Backend& backend, const Dataset& data, Rows train, std::uint64_t seed, Index batch,
                 std::uint64_t total, std::size_t most_bytes)
    : backend_(backend),
      train_(std::move(train)),
      seed_(seed),
      batch_(static_cast<std::uint64_t>(batch)),
      per_epoch_(train_.size() / batch_),
      total_(total),
      data_(backend, data, most_bytes) {
  if (data_.whole()) {
    order_ = backend.allocate(train_.size() * sizeof(std::uint32_t));
    return;
  }
  const std::size_t of_x = batch_ * row_bytes(data_.view()), of_conditions = batch_ * row_bytes(data_.conditions());
  const std::size_t half = std::min(kMostHalfBytes, (most_bytes > 0 ? most_bytes : backend.available_memory() / 2) / 2);
  chunk_steps_ = std::max<std::size_t>(1, half / (of_x + of_conditions));
  window_ = backend.make_double_buffer(chunk_steps_ * of_x);
  if (data_.conditions()) window_of_conditions_ = backend.make_double_buffer(chunk_steps_ * of_conditions);
}

const Rows& Batches::order_of(std::uint64_t epoch) {
  const auto [found, is_new] = orders_.try_emplace(epoch, train_);
  if (is_new) shuffle(found->second, seed_, Stream::shuffle, static_cast<std::uint32_t>(epoch));
  return found->second;
}

Index Batches::prepare(std::uint64_t step) {
  const std::uint64_t epoch = step / per_epoch_, left = (epoch + 1) * per_epoch_ - step;
  if (data_.whole()) {
    if (epoch_ != epoch) {
      orders_.erase(orders_.begin(), orders_.lower_bound(epoch));
      backend_.upload(order_.data(), order_of(epoch).data(), order_.bytes());
      epoch_ = epoch;
    }
    return static_cast<Index>(left);
  }
  const std::uint64_t chunk = step / chunk_steps_;
  if (chunk_ != chunk) {
    if (!chunk_ || chunk != *chunk_ + 1) fill(chunk, step);  // the first chunk; later ones are already being copied
    window_->use(static_cast<int>(chunk % 2));
    if (window_of_conditions_) window_of_conditions_->use(static_cast<int>(chunk % 2));
    fill(chunk + 1, (chunk + 1) * chunk_steps_);
    chunk_ = chunk;
    orders_.erase(orders_.begin(), orders_.lower_bound(epoch));
  }
  return static_cast<Index>(std::min(left, (chunk + 1) * chunk_steps_ - step));
}

void Batches::look_ahead(std::uint64_t step) {
  const std::uint64_t next = step / per_epoch_ + 1;
  if (next * per_epoch_ < total_) order_of(next);
}

// Copies the batches of a chunk from step `from` on, in the order of the steps.
void Batches::fill(std::uint64_t chunk, std::uint64_t from) {
  const std::uint64_t begin = chunk * chunk_steps_, end = std::min(begin + chunk_steps_, total_);
  if (from >= end) return;
  for (std::uint64_t epoch = from / per_epoch_; epoch <= (end - 1) / per_epoch_; ++epoch) order_of(epoch);
  fill(*window_, data_.view(), chunk, from);
  if (window_of_conditions_) fill(*window_of_conditions_, data_.conditions(), chunk, from);
}

void Batches::fill(DoubleBuffer& window, ConstView matrix, std::uint64_t chunk, std::uint64_t from) {
  const std::uint64_t begin = chunk * chunk_steps_, end = std::min(begin + chunk_steps_, total_);
  const int half = static_cast<int>(chunk % 2);
  const std::size_t bytes = row_bytes(matrix);
  const char* source = static_cast<const char*>(matrix.data);
  char* target = static_cast<char*>(window.host(half));
  const auto copy_steps = [&](Index, Index first, Index last) {
    for (auto s = from + static_cast<std::uint64_t>(first); s < from + static_cast<std::uint64_t>(last); ++s) {
      const std::uint32_t* rows = orders_.at(s / per_epoch_).data() + s % per_epoch_ * batch_;
      for (std::uint64_t b = 0; b < batch_; ++b)
        std::memcpy(target + ((s - begin) * batch_ + b) * bytes, source + rows[b] * bytes, bytes);
    }
  };
  const int threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
  cpu::Team(threads).chunks(static_cast<Index>(end - from), 1, copy_steps);
  window.send(half);
}

// The rows of the batch among all rows of a matrix in their order, or among those of its window.
GatherBatch Batches::rows_of(ConstView matrix, const std::unique_ptr<DoubleBuffer>& window,
                             const std::uint32_t* device_step, Index first_row, View to) const {
  const auto whole = static_cast<Index>(batch_);
  if (data_.whole()) {
    const auto rows = static_cast<Index>(train_.size());
    return {.pixels = matrix, .rows = {order_.as<std::uint32_t>(), rows, device_step, first_row, whole}, .x = to};
  }
  const auto rows = static_cast<Index>(2 * chunk_steps_ * batch_);
  return {.pixels = {window->device(), rows, matrix.cols, matrix.dtype},
          .rows = {nullptr, rows, device_step, first_row, whole},
          .x = to};
}

void Batches::gather(const std::uint32_t* device_step, Binarize binarize, const Noise& noise, View x,
                     View conditions) const {
  GatherBatch op = rows_of(data_.view(), window_, device_step, noise.first_row, x);
  op.binarize = binarize, op.noise = noise;
  backend_.run(op);
  if (conditions)
    backend_.run(rows_of(data_.conditions(), window_of_conditions_, device_step, noise.first_row, conditions));
}

}  // namespace cuvae
