// cuvae eval.
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/arguments/arguments.h"
#include "cli/commands/command.h"
#include "cli/run/quantities.h"
#include "cuvae/estimator.h"
#include "cuvae/evaluate.h"
#include "cuvae/likelihood.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

struct EvalArguments : ModelArguments {
  DataArguments data;
  EvaluateOptions options;
  bool json = false;
};

// The quantity that the bits per dimension measure. A density depends on the data's units, so its bits can be negative.
std::string bits_are_of(const LikelihoodTraits& likelihood) {
  return likelihood.values == 0 ? "density" : "mass over " + std::to_string(likelihood.values) + " values";
}

// NaN and infinities are written as null.
void print_json(const Evaluation& e, const CheckpointInfo& info, Index samples) {
  const nlohmann::ordered_json object = {{"elbo", e.elbo},
                                         {"elbo_error", e.elbo_error},
                                         {"reconstruction", e.reconstruction},
                                         {"kl", e.kl},
                                         {"kl_dims", e.kl_dims},
                                         {"bits_per_dim", e.bits_per_dim},
                                         {"bits_are_of", bits_are_of(traits(info.model.likelihood))},
                                         {"active_units", e.active_units},
                                         {"examples", e.examples},
                                         {"samples", samples},
                                         {"trained_on", objective_name(info.training)}};
  std::cout << object.dump() << '\n';
}

void print_text(const Evaluation& e, const CheckpointInfo& info, Index samples) {
  std::cout << "examples        " << e.examples << ", " << samples
            << (samples == 1 ? " latent sample" : " latent samples") << " each\n"
            << "ELBO            " << with_error(result(e.elbo, 7), e.elbo_error) << " nats (standard error)\n"
            << "reconstruction  " << result(e.reconstruction, 7) << " nats\n"
            << "KL              " << result(e.kl, 7) << " nats\n"
            << "bits per dim    " << result(e.bits_per_dim) << " (of a " << bits_are_of(traits(info.model.likelihood))
            << ")\n"
            << "active units    " << e.active_units << " of " << info.model.latent << '\n';
  if (is_importance_weighted(info.training.estimator))
    std::cout << "trained on      " << objective_name(info.training) << ", which is at least the ELBO above\n";
}

int evaluate_model(const EvalArguments& arguments) {
  const LoadedModel model = arguments.load();
  const Dataset data = arguments.data.open(model, true);
  EvaluateOptions options = arguments.options;
  options.binarize = arguments.data.binarize(model);
  options.seed = arguments.data.seed;
  const Evaluation evaluation = evaluate(model.vae, data, options);
  (arguments.json ? print_json : print_text)(evaluation, model.info, options.samples);
  require_finite(evaluation, arguments.model);
  return 0;
}

}  // namespace

Command add_eval(CLI::App& program) {
  CLI::App* const app = program.add_subcommand("eval", "Evaluate a model: ELBO, reconstruction, KL, active units");
  const auto arguments = std::make_shared<EvalArguments>();
  arguments->add_to(*app);
  arguments->data.add_to(*app, "Seed of the latent samples and the binarization");
  EvaluateOptions& options = arguments->options;
  add_number(*app, "--samples", options.samples, "Latent samples per example", kCount);
  add_number(*app, "--batch", options.batch, "Examples per batch; changes only speed and memory", kCount);
  app->add_flag("--json", arguments->json, "Print one JSON object");
  app->footer("Example:\n  cuvae eval runs/first --data data/mnist-10k --samples 10");
  return {app, [arguments] { return evaluate_model(*arguments); }};
}

}  // namespace cuvae::cli
