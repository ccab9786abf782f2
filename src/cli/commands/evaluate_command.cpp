// cuvae eval.
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/arguments/arguments.h"
#include "cli/commands/command.h"
#include "cli/run/layers_json.h"
#include "cli/run/quantities.h"
#include "cli/run/run_folder.h"
#include "cuvae/bound.h"
#include "cuvae/estimator.h"
#include "cuvae/likelihood.h"
#include "data/formats/npy.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

using Json = nlohmann::ordered_json;

struct EvalArguments : ModelArguments {
  DataArguments data;
  Bound bound = Bound::elbo;
  Index samples = 0, batch = 0;  // 0: not given
  std::string per_example;
  bool json = false;
};

// The quantity that the bits per dimension measure. A density depends on the data's units, so its bits can be negative.
std::string bits_are_of(const LikelihoodTraits& likelihood) {
  return likelihood.values == 0 ? "density" : "mass over " + std::to_string(likelihood.values) + " values";
}

std::string examples_line(Index examples, Index samples) {
  return "examples        " + std::to_string(examples) + ", " + std::to_string(samples) +
         (samples == 1 ? " latent sample" : " latent samples") + " each\n";
}

std::string bits_line(double bits_per_dim, const CheckpointInfo& info) {
  return "bits per dim    " + result(bits_per_dim) + " (of a " + bits_are_of(traits(info.model.likelihood)) + ")\n";
}

// NaN and infinities are written as null.
void print_json(const Evaluation& e, const CheckpointInfo& info, Index samples) {
  const Json object = {{"elbo", e.elbo},
                       {"elbo_error", e.elbo_error},
                       {"reconstruction", e.reconstruction},
                       {"kl", e.kl},
                       {"rate", e.rate()},
                       {"distortion", e.distortion()},
                       {"kl_dims", e.kl_dims},
                       {"layers", layers_json(e.layers)},
                       {"bits_per_dim", e.bits_per_dim},
                       {"bits_are_of", bits_are_of(traits(info.model.likelihood))},
                       {"active_units", e.active_units},
                       {"examples", e.examples},
                       {"samples", samples},
                       {"trained_on", objective_name(info.training)}};
  std::cout << object.dump() << '\n';
}

void print_json(const BoundEvaluation& e, const CheckpointInfo& info) {
  const Json object = {{"bound", std::string(to_string(e.bound))},
                       {"value", e.value},
                       {"error", e.error},
                       {"sampling_error", e.sampling_error},
                       {"bits_per_dim", e.bits_per_dim},
                       {"bits_are_of", bits_are_of(traits(info.model.likelihood))},
                       {"mean_effective", e.mean_effective},
                       {"least_effective", e.least_effective},
                       {"largest_pareto_k", e.largest_pareto_k},
                       {"unreliable", e.unreliable},
                       {"examples", e.examples},
                       {"samples", e.samples},
                       {"trained_on", objective_name(info.training)}};
  std::cout << object.dump() << '\n';
}

// The KL and the active units of each layer. Of a single layer, the KL has a line of its own.
std::string layer_lines(const Evaluation& e) {
  const auto active = [](const LayerEvaluation& layer) {
    return std::to_string(layer.active_units) + " of " + std::to_string(layer.latent);
  };
  if (e.layers.size() == 1) return "active units    " + active(e.layers.front()) + '\n';
  std::string lines;
  for (std::size_t t = 0; t < e.layers.size(); ++t) {
    const std::string name = "layer " + std::to_string(t + 1);
    lines += name + std::string(16 - name.size(), ' ') + "KL " + result(e.layers[t].kl, 7) + " nats, active units " +
             active(e.layers[t]) + '\n';
  }
  return lines;
}

void print_text(const Evaluation& e, const CheckpointInfo& info, Index samples) {
  std::cout << examples_line(e.examples, samples) << "ELBO            " << with_error(result(e.elbo, 7), e.elbo_error)
            << " nats (standard error)\n"
            << "reconstruction  " << result(e.reconstruction, 7) << " nats (distortion " << result(e.distortion(), 7)
            << ")\n"
            << "KL              " << result(e.kl, 7) << " nats (rate)\n"
            << bits_line(e.bits_per_dim, info) << layer_lines(e);
  if (is_importance_weighted(info.training.estimator))
    std::cout << "trained on      " << objective_name(info.training) << ", which is at least the ELBO above\n";
}

std::string pareto_line(const BoundEvaluation& e) {
  const std::string name = "Pareto k-hat    ";
  if (e.samples < kLeastParetoSamples)
    return name + "n/a: it needs at least " + std::to_string(kLeastParetoSamples) + " samples\n";
  if (std::isnan(e.largest_pareto_k)) return name + "n/a: the largest weights of each example are equal up to 0.1%\n";
  const std::string line = name + "at most " + number(e.largest_pareto_k, 3) + '\n', limit = number(kMostPareto);
  if (e.unreliable == 0) return line;
  return line + std::to_string(e.unreliable) + " of " + std::to_string(e.examples) + " examples have a k-hat above " +
         limit + ": a few samples decide their values, which may be far below log p(x)\n";
}

void print_text(const BoundEvaluation& e, const CheckpointInfo& info) {
  std::cout << examples_line(e.examples, e.samples) << "log p(x)        at least "
            << with_error(result(e.value, 7), e.error) << " nats (" << bound_name(e.bound, e.samples)
            << ", standard error)\n"
            << "sampling error  " << number(e.sampling_error, 2) << " nats of it, which more samples make smaller\n"
            << bits_line(e.bits_per_dim, info) << "effective size  " << result(e.mean_effective, 4) << " of "
            << e.samples << " samples on average, " << result(e.least_effective, 4) << " at least\n"
            << pareto_line(e);
  if (is_importance_weighted(info.training.estimator))
    std::cout << "trained on      " << objective_name(info.training) << '\n';
}

template <class Options>
Options options_of(const EvalArguments& arguments, const LoadedModel& model) {
  Options options;
  if (arguments.samples > 0) options.samples = arguments.samples;
  if (arguments.batch > 0) options.batch = arguments.batch;
  options.binarize = arguments.data.binarize(model);
  options.seed = arguments.data.seed;
  return options;
}

// Both return the value of each example.
std::vector<double> evaluate_elbo(const EvalArguments& arguments, const LoadedModel& model, const Dataset& data) {
  const auto options = options_of<EvaluateOptions>(arguments, model);
  Evaluation evaluation = evaluate(model.vae, data, options);
  if (arguments.json) {
    print_json(evaluation, model.info, options.samples);
  } else {
    print_text(evaluation, model.info, options.samples);
  }
  require_finite(evaluation, arguments.model);
  return std::move(evaluation.elbos);
}

std::vector<double> evaluate_samples(const EvalArguments& arguments, const LoadedModel& model, const Dataset& data) {
  const Prior prior = model.config().prior;
  if (arguments.bound == Bound::prior && prior != Prior::standard)
    throw CLI::ValidationError(
        "--bound", "prior draws from a standard prior, but the model's is " + std::string(to_string(prior)));
  auto options = options_of<BoundOptions>(arguments, model);
  options.bound = arguments.bound;
  const BoundEvaluation evaluation = evaluate_bound(model.vae, data, options);
  if (arguments.json) {
    print_json(evaluation, model.info);
  } else {
    print_text(evaluation, model.info);
  }
  require_finite(evaluation, arguments.model);
  std::vector<double> values;
  for (const ExampleBound& x : evaluation.of_examples) values.push_back(x.value);
  return values;
}

int evaluate_model(const EvalArguments& arguments) {
  if (!arguments.per_example.empty()) check_writable(arguments.per_example);
  const LoadedModel model = arguments.load();
  const Dataset data = arguments.data.open(model, true);
  const auto run = arguments.bound == Bound::elbo ? evaluate_elbo : evaluate_samples;
  const std::vector<double> values = run(arguments, model, data);
  if (!arguments.per_example.empty()) write_npy(arguments.per_example, values);
  return 0;
}

}  // namespace

Command add_eval(CLI::App& program) {
  CLI::App* const app = program.add_subcommand(
      "eval", "Evaluate a model: ELBO, reconstruction, KL, active units; or log p(x) by importance sampling");
  const auto arguments = std::make_shared<EvalArguments>();
  arguments->add_to(*app);
  arguments->data.add_to(*app, "Seed of the latent samples and the binarization");
  add_name(*app, "--bound", arguments->bound,
           "elbo; iwae, log p(x) by importance sampling from the posterior; or prior, by samples from the prior");
  add_number(*app, "--samples", arguments->samples,
             "Latent samples per example (default: 1 for elbo, 5000 for iwae and prior)", kCount)
      ->default_str("");
  add_number(*app, "--batch", arguments->batch,
             "Examples per batch; changes only speed and memory (default: 500 for elbo, what suits the device for iwae "
             "and prior)",
             kCount)
      ->default_str("");
  app->add_option("--per-example", arguments->per_example, "Also write the value of each example, float64 [N], .npy")
      ->type_name("FILE")
      ->check(CLI::Validator(
          [](std::string& text) {
            return std::filesystem::path(text).extension() == ".npy" ? "" : "'" + text + "' must end in .npy";
          },
          ""));
  app->add_flag("--json", arguments->json, "Print one JSON object");
  app->footer(
      "docs/evaluation.md says how to read the results.\n\n"
      "Examples:\n"
      "  cuvae eval runs/first --data data/mnist-10k --samples 10\n"
      "  cuvae eval runs/first --data data/mnist-10k --bound iwae --per-example log_p.npy");
  return {app, [arguments] { return evaluate_model(*arguments); }};
}

}  // namespace cuvae::cli
