// A training step as a list of phases. A phase says where x and z come from, which networks learn from them, and what
// the samples count for; each adds to the gradient. How the inference network's gradient is estimated, is the
// estimator's (encoder_gradient.h).
#pragma once
#include <vector>

#include "cuvae/trainer.h"

namespace cuvae {

enum class Source : std::uint8_t {
  data,   ///< x of the batch, z ~ q(z|x): "wake". Phases of data in one step have the same z
  model,  ///< z from the prior, x ~ p(x|z), as many as in the batch: "sleep". Only the inference network learns, log
          ///< q(z|x)
};
enum class Learners : std::uint8_t { both, generative, inference };

struct Phase {
  Source source = Source::data;
  Learners learners = Learners::both;
  Index bounds = 1;      ///< the samples of an example are weighed in so many groups, each with a bound of its own
  float weight = 1.0f;   ///< of the inference network's gradient
  bool measured = true;  ///< whether the step's loss is that of this phase, and its metrics; one phase has it
};

inline std::vector<Phase> phases_of(const TrainConfig& config) {
  constexpr Phase generative{.learners = Learners::generative},
      sleep{.source = Source::model, .learners = Learners::inference, .measured = false};
  switch (config.objective) {
    case Objective::variational:
    case Objective::elbo:
    case Objective::iwae:
    case Objective::ciwae:  // with weights of its own
      break;
    case Objective::miwae:
      return {{.bounds = config.bounds}};
    case Objective::piwae:
      return {generative, {.learners = Learners::inference, .bounds = config.bounds, .measured = false}};
    case Objective::wake_sleep:
      return {generative, sleep};
    case Objective::rws: {
      const float s = config.sleep_share;
      const Phase wake = s < 1 ? Phase{.weight = 1 - s} : generative;
      Phase asleep = sleep;
      asleep.weight = s;
      return s > 0 ? std::vector<Phase>{wake, asleep} : std::vector<Phase>{wake};
    }
  }
  return {{}};
}

constexpr bool has_sleep(const TrainConfig& config) {
  return config.objective == Objective::wake_sleep || (config.objective == Objective::rws && config.sleep_share > 0);
}

}  // namespace cuvae
