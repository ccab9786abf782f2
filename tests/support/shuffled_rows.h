// The rows of the small data in the order of a run.
#pragma once
#include <numeric>
#include <vector>

#include "reference.h"
#include "small_training.h"

namespace cuvae::test {

using Rows = std::vector<std::uint32_t>;

/// The shuffle of Fisher and Yates with the reference's random words.
inline void shuffle(Rows& rows, const reference::NoiseKey& key) {
  for (std::uint64_t i = rows.size() - 1; i > 0; --i)
    std::swap(rows[i], rows[std::uint64_t{reference::word(key, i)} * (i + 1) >> 32]);
}

/// The rows of the small data in a run: the last ones of a shuffle are held out.
struct SplitRows {
  SplitRows(const TrainConfig& config, std::size_t held) : train(kSmallRows) {
    std::iota(train.begin(), train.end(), 0u);
    if (held > 0) shuffle(train, {config.seed, Stream::split, 0});
    held_out.assign(train.end() - static_cast<std::ptrdiff_t>(held), train.end());
    train.resize(train.size() - held);
  }
  Rows train, held_out;
};

}  // namespace cuvae::test
