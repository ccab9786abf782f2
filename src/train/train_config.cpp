// Which settings of training are in range, and go together.
#include <cmath>

#include "cuvae/estimator.h"
#include "cuvae/trainer.h"
#include "io/text.h"
#include "train/phases.h"

namespace cuvae {
namespace {

void check(bool ok, const char* name, const std::string& value, const std::string& rule) {
  if (!ok) throw Error(std::string("training: ") + name + " is " + value + " but must be " + rule);
}

// The estimators for which `condition` holds: "iwae, stl-iwae or dreg".
template <class Condition>
std::string estimators_with(Condition condition) {
  std::vector<std::string> names;
  for (const EstimatorTraits& t : kEstimators)
    if (condition(t.estimator)) names.emplace_back(to_string(t.estimator));
  return one_of(names);
}

// Which of the settings go with the objective.
void check_objective(const TrainConfig& t) {
  const Objective o = t.objective;
  const std::string with = " for the objective " + std::string(to_string(objective_of(t)));
  check(go_together(o, estimator_of(o, t.estimator)), "estimator", std::string(to_string(t.estimator)),
        o == Objective::wake_sleep
            ? "pathwise for wake-sleep, which estimates no gradient through the samples"
            : estimators_with([&](Estimator e) { return go_together(o, estimator_of(o, e)); }) + with);
  const auto share = [&](const char* name, float value, Objective of, float otherwise) {
    check(value >= 0 && value <= 1, name, number(static_cast<double>(value)), "from 0 to 1");
    check(objective_of(t) == of || value == otherwise, name, number(static_cast<double>(value)),
          number(static_cast<double>(otherwise)) + with + ": it is that of " + std::string(to_string(of)));
  };
  share("elbo_share", t.elbo_share, Objective::ciwae, TrainConfig{}.elbo_share);
  share("sleep_share", t.sleep_share, Objective::rws, 0);
  check(t.bounds == 1 || o == Objective::miwae || o == Objective::piwae, "bounds", std::to_string(t.bounds),
        "1" + with + ": only miwae and piwae take several");
}

}  // namespace

void TrainConfig::validate() const {
  const auto whole = [&](const char* name, Index value, Index least) {
    check(value >= least && value <= 0x7fffffff, name, std::to_string(value),
          least == 0 ? "0 to 2147483647" : "1 to 2147483647");
  };
  const auto from_zero = [&](const char* name, double value) {
    check(value >= 0 && std::isfinite(value), name, number(value), "at least 0");
  };
  const auto fraction = [&](const char* name, double value) {
    check(value >= 0 && value < 1, name, number(value), "at least 0 and below 1");
  };
  whole("batch", batch, 1);
  whole("samples", samples, 1);
  whole("bounds", bounds, 1);
  check(batch * samples <= 0x7fffffff, "batch * samples", std::to_string(batch * samples), "at most 2147483647");
  check(batch * samples * bounds <= 0x7fffffff, "batch * samples * bounds", std::to_string(batch * samples * bounds),
        "at most 2147483647");
  whole("epochs", epochs, 1);
  whole("patience", patience, 0);
  whole("log_every", log_every, 0);
  whole("checkpoint_every", checkpoint_every, 1);
  whole("max_skipped", max_skipped, 1);
  from_zero("pixel_scale", static_cast<double>(pixel_scale));
  from_zero("beta", static_cast<double>(beta));
  from_zero("kl_warmup_epochs", kl_warmup_epochs);
  from_zero("free_bits", static_cast<double>(free_bits));
  from_zero("weight_decay", static_cast<double>(weight_decay));
  from_zero("clip_norm", static_cast<double>(clip_norm));
  from_zero("clip_value", static_cast<double>(clip_value));
  check(epsilon > 0 && std::isfinite(epsilon), "epsilon", number(static_cast<double>(epsilon)), "positive");
  fraction("beta1", static_cast<double>(beta1));
  fraction("beta2", static_cast<double>(beta2));
  fraction("ema_decay", static_cast<double>(ema_decay));
  fraction("validation", validation);
  check(patience == 0 || validation > 0, "patience", std::to_string(patience),
        "0 when no examples are held out for validation");
  check(!standardize || binarize == Binarize::none, "binarize", std::string(to_string(binarize)),
        "none for standardized data");
  check_objective(*this);
  const Estimator used = estimator_of(objective, estimator);
  const std::string chosen = " with the estimator " + std::string(to_string(used));
  // The weight of one sample is 1, whatever it is: without a sleep phase the encoder would follow noise.
  const bool asleep = used == Estimator::wake_phi && sleep_share > 0;
  check(samples >= traits(used).least_samples || asleep, "samples", std::to_string(samples),
        "at least " + std::to_string(traits(used).least_samples) + chosen);
  check(takes_cost(used, cost), "cost", std::string(to_string(cost)),
        "elbo" + chosen + ": only score functions other than nvil-scaled take another");
  check(!antithetic || traits(used).antithetic, "antithetic", "true",
        "false" + chosen + ": only pathwise, total, stl, score, score-mean, nvil and nvil-scaled take pairs");
  check(!antithetic || samples % 2 == 0, "samples", std::to_string(samples), "even for antithetic pairs");
  if (objective == Objective::wake_sleep) {  // its loss has no weights
    check(beta == 1, "beta", number(static_cast<double>(beta)), "1 for wake-sleep");
    check(kl_warmup_epochs == 0, "kl_warmup_epochs", number(kl_warmup_epochs), "0 for wake-sleep");
    check(free_bits == 0, "free_bits", number(static_cast<double>(free_bits)), "0 for wake-sleep");
  }
  if (!takes_kl_weight(used, cost)) {
    check(beta == 1, "beta", number(static_cast<double>(beta)), "1" + chosen);
    check(kl_warmup_epochs == 0, "kl_warmup_epochs", number(kl_warmup_epochs), "0" + chosen);
  }
  if (!has_closed_form_kl(used, cost))  // there is no KL by dimension
    check(free_bits == 0, "free_bits", number(static_cast<double>(free_bits)), "0" + chosen);
  schedule.validate();
  const bool ends = schedule.kind == LearningRate::Kind::cosine && schedule.epochs > 0 && schedule.final_rate == 0;
  check(!ends || static_cast<double>(epochs) <= schedule.epochs, "epochs", std::to_string(epochs),
        "at most " + number(schedule.epochs) + ", where the cosine's rate comes to 0, or its final rate positive");
}

namespace {

void validate_chain(const TrainConfig& training, bool wake_sleep, const std::string& layers) {
  if (!wake_sleep && traits(training.estimator).one_layer)
    throw Error("training: the estimator is " + std::string(to_string(training.estimator)) +
                ", whose baselines need several samples of each layer, but " + layers + " have one above");
  if (training.cost == Cost::joint) throw Error("training: cost is joint but must be elbo with " + layers);
  if (training.antithetic) throw Error("training: antithetic is true but must be false with " + layers);
}

// No path leads through samples of Bernoulli units, and no KL or entropy of them is in closed form.
void validate_bernoulli(const VaeConfig& model, const TrainConfig& training, bool wake_sleep) {
  const bool chain = !model.above.empty();
  const std::string units = chain ? "several layers of Bernoulli latents" : "Bernoulli latents",
                    chosen = "training: the estimator is " + std::string(to_string(training.estimator));
  const auto scores = [&](Estimator e) { return !uses_path(e) && !uses_probes(e) && !(chain && traits(e).one_layer); };
  if (!wake_sleep && !scores(training.estimator))
    throw Error(chosen + " but " + units + " need a score function: " + estimators_with(scores));
  if (training.cost != Cost::elbo)
    throw Error("training: cost is " + std::string(to_string(training.cost)) + " but must be elbo with " + units);
}

}  // namespace

Objective objective_of(const TrainConfig& config) {
  return config.objective == Objective::variational ? objective_of(config.estimator) : config.objective;
}

Index validation_samples(const TrainConfig& config) {
  return objective_of(config) == Objective::piwae ? config.bounds * config.samples : config.samples;
}

TrainConfig resolved(TrainConfig config) {
  config.estimator = estimator_of(config.objective, config.estimator);
  const bool of_estimator = objective_of(config) == objective_of(config.estimator);
  if (of_estimator) config.objective = config.sleep_share > 0 ? Objective::rws : Objective::variational;
  return config;
}

void validate(const VaeConfig& model, const TrainConfig& given) {
  const TrainConfig training = resolved(given);
  if (training.standardize && traits(model.likelihood).unit_interval)
    throw Error("training: standardize is true but must be false with a " + std::string(to_string(model.likelihood)) +
                " likelihood, which takes 0 to 1");
  if (has_sleep(training) && model.missing_values)
    throw Error("training: the objective is " + std::string(to_string(training.objective)) +
                (training.objective == Objective::rws ? " with a sleep_share" : "") +
                ", which draws complete examples, but the model takes missing values");
  if (has_sleep(training) && model.prior != Prior::standard)
    throw Error("training: the objective is " + std::string(to_string(training.objective)) +
                (training.objective == Objective::rws ? " with a sleep_share" : "") +
                ", which draws from a standard normal, but the prior is " + std::string(to_string(model.prior)));
  const Objective objective = objective_of(training);
  const bool apart = objective == Objective::piwae || objective == Objective::wake_sleep || objective == Objective::rws;
  if (model.ladder && apart)
    throw Error("training: the objective is " + std::string(to_string(objective)) +
                ", which trains the two networks apart, but a ladder's decoders belong to both: use elbo, iwae, miwae "
                "or ciwae");
  const auto of_ladders = [](Estimator e) {
    return e == Estimator::total || e == Estimator::stl || e == Estimator::iwae || e == Estimator::stl_iwae;
  };
  if (model.ladder && !of_ladders(training.estimator))
    throw Error("training: the estimator is " + std::string(to_string(training.estimator)) + " but a ladder needs " +
                estimators_with(of_ladders));
  if (model.has_closed_form_kl()) return;
  const std::string chosen = "training: the estimator is " + std::string(to_string(training.estimator)) + " but ",
                    layers = std::to_string(model.above.size() + 1) + " latent layers";
  const bool wake_sleep = training.objective == Objective::wake_sleep;
  if (!model.above.empty()) validate_chain(training, wake_sleep, layers);
  if (model.has_bernoulli_latents()) return validate_bernoulli(model, training, wake_sleep);
  if (!wake_sleep && has_closed_form_kl(training.estimator, training.cost))
    throw Error(chosen + "there is no KL in closed form with " +
                (model.above.empty() ? "the prior " + std::string(to_string(model.prior)) : layers) +
                ": use total, stl, iwae or another that estimates it");
}

}  // namespace cuvae
