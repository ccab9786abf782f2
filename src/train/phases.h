// A training step as a list of phases. A phase says where x and z come from, and which networks learn from them; each
// adds to the gradient. What the samples of data count for, and how the inference network's gradient is estimated, is
// the estimator's (encoder_gradient.h).
#pragma once
#include <span>

#include "cuvae/types.h"

namespace cuvae {

enum class Source : std::uint8_t {
  data,   ///< x of the batch, z ~ q(z|x): "wake"
  model,  ///< z from the prior, x ~ p(x|z), as many as in the batch: "sleep". Only the inference network learns, log
          ///< q(z|x)
};
enum class Learners : std::uint8_t { both, generative, inference };

struct Phase {
  Source source = Source::data;
  Learners learners = Learners::both;
};

inline constexpr Phase kVariational[] = {{}},
                       kWakeSleep[] = {{Source::data, Learners::generative}, {Source::model, Learners::inference}};

constexpr std::span<const Phase> phases_of(Objective objective) {
  switch (objective) {
    case Objective::variational:
      break;
    case Objective::wake_sleep:
      return kWakeSleep;
  }
  return kVariational;
}

}  // namespace cuvae
