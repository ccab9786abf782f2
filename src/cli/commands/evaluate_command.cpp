// cuvae eval.
#include <iostream>
#include <numeric>

#include "cli/arguments/arguments.h"
#include "cli/commands/command.h"
#include "cli/commands/evaluation_output.h"
#include "cli/run/quantities.h"
#include "cli/run/run_folder.h"
#include "data/formats/npy.h"

namespace cuvae::cli {
namespace {

constexpr Index kChains = 16;  // of ais by default

struct EvalArguments : ModelArguments {
  DataArguments data;
  Bound bound = Bound::elbo;
  Index samples = 0, batch = 0, examples = 0, chains = kChains;  // 0: not given
  bool aggregate = false, exact = false, gaps = false, json = false;
  AisOptions ais;
  RefineOptions refine;
  std::string per_example;

  bool annealed() const { return bound == Bound::ais; }
  std::vector<std::uint32_t> rows(const Dataset& dataset) const {
    if (examples > dataset.rows())
      throw Error(dataset.name() + ": --examples is " + std::to_string(examples) + " but there are only " +
                  std::to_string(dataset.rows()));
    std::vector<std::uint32_t> rows(static_cast<std::size_t>(examples > 0 ? examples : dataset.rows()));
    std::iota(rows.begin(), rows.end(), 0u);
    return rows;
  }
};

void refuse_idle_flags(const EvalArguments& a) {
  const auto refuse = [&](std::initializer_list<const char*> flags, bool idle, const char* why) {
    for (const char* flag : flags) refuse_idle(*a.app, flag, idle ? why : nullptr);
  };
  refuse({"--bound", "--samples", "--aggregate", "--gaps"}, a.exact, "with --exact");
  refuse({"--bound", "--aggregate"}, a.gaps, "with --gaps");
  refuse({"--aggregate"}, a.bound != Bound::elbo, "with a --bound other than elbo");
  refuse({"--refine-steps", "--refine-samples", "--refine-lr"}, !a.gaps, "without --gaps");
  refuse({"--chains", "--temperatures", "--annealing"}, !a.annealed(), "without --bound ais");
  refuse({"--samples"}, a.annealed(), "with --bound ais, which has --chains");
}

// Throws CLI::ValidationError for a kind of evaluation that the model does not have.
void refuse_for_model(const EvalArguments& a, const VaeConfig& model) {
  const auto refuse = [](const char* flag, bool chosen, bool possible, const char* needs) {
    if (chosen && !possible) throw CLI::ValidationError(flag, needs);
  };
  const bool one_gaussian = model.above.empty() && !model.has_bernoulli_latents();
  refuse("--exact", a.exact, model.has_bernoulli_latents(),
         "the model's latents are Gaussian; sums need Bernoulli units");
  refuse("--gaps", a.gaps, one_gaussian, "the model must have one layer of Gaussian latents");
  refuse("--aggregate", a.aggregate, one_gaussian, "the model must have one layer of Gaussian latents");
  refuse("--bound", a.annealed(), one_gaussian && model.prior == Prior::standard,
         "ais needs one layer of Gaussian latents under a standard prior");
}

template <class Options>
Options options_of(const EvalArguments& arguments, const LoadedModel& model) {
  Options options;
  if constexpr (requires { options.samples; })
    if (arguments.samples > 0) options.samples = arguments.samples;
  if (arguments.batch > 0) options.batch = arguments.batch;
  options.binarize = arguments.data.binarize(model);
  options.seed = arguments.data.seed;
  return options;
}

ElboResult evaluate_elbo(const EvalArguments& arguments, const LoadedModel& model, const Dataset& data) {
  const auto options = options_of<EvaluateOptions>(arguments, model);
  const std::vector<std::uint32_t> rows = arguments.rows(data);
  ElboResult all{evaluate(model.vae, data, rows, options), options.samples, {}};
  if (arguments.aggregate) all.aggregate = evaluate_aggregate(model.vae, data, rows, options);
  return all;
}

BoundEvaluation evaluate_samples(const EvalArguments& arguments, const LoadedModel& model, const Dataset& data) {
  const Prior prior = model.config().prior;
  if (arguments.bound == Bound::prior && prior != Prior::standard)
    throw CLI::ValidationError(
        "--bound", "prior draws from a standard prior, but the model's is " + std::string(to_string(prior)));
  auto options = options_of<BoundOptions>(arguments, model);
  options.bound = arguments.bound;
  options.ais = arguments.ais;
  if (arguments.annealed()) options.samples = arguments.chains;
  return evaluate_bound(model.vae, data, arguments.rows(data), options);
}

GapEvaluation evaluate_gaps_of(const EvalArguments& arguments, const LoadedModel& model, const Dataset& data) {
  auto options = options_of<GapOptions>(arguments, model);
  options.refine = arguments.refine;
  options.refine.seed = options.seed;
  return evaluate_gaps(model.vae, data, arguments.rows(data), options);
}

// Returns the value of each example.
template <class Result>
std::vector<double> show(const EvalArguments& arguments, const LoadedModel& model, const Result& result) {
  std::cout << (arguments.json ? json_of(result, model.info).dump() + '\n' : text_of(result, model.info));
  require_finite(result, arguments.model);
  return values_of(result);
}

std::vector<double> evaluate_and_show(const EvalArguments& arguments, const LoadedModel& model, const Dataset& data) {
  if (arguments.exact)
    return show(arguments, model,
                evaluate_exact(model.vae, data, arguments.rows(data), options_of<ExactOptions>(arguments, model)));
  if (arguments.gaps) return show(arguments, model, evaluate_gaps_of(arguments, model, data));
  if (arguments.bound == Bound::elbo) return show(arguments, model, evaluate_elbo(arguments, model, data));
  return show(arguments, model, evaluate_samples(arguments, model, data));
}

int evaluate_model(const EvalArguments& arguments) {
  refuse_idle_flags(arguments);
  if (!arguments.per_example.empty()) check_writable(arguments.per_example);
  const LoadedModel model = arguments.load();
  refuse_for_model(arguments, model.config());
  const Dataset data = arguments.data.open(model, true);
  const std::vector<double> values = evaluate_and_show(arguments, model, data);
  if (!arguments.per_example.empty()) write_npy(arguments.per_example, values);
  return 0;
}

void add_kinds_to(CLI::App& app, EvalArguments& a) {
  add_name(
      app, "--bound", a.bound,
      "elbo; iwae, log p(x) by importance sampling from the posterior; prior, by samples from the prior; or ais, by "
      "annealed importance sampling");
  app.add_flag("--aggregate", a.aggregate,
               "Also the mutual information of x and z and the KL of the aggregate posterior; the time grows with the "
               "square of the number of examples");
  app.add_flag(
      "--exact", a.exact,
      "log p(x), ELBO and KL to the posterior by sums over all values of the latents: Bernoulli, at most 20 units");
  app.add_flag("--gaps", a.gaps,
               "Approximation gap and amortization gap: the posterior of each example is refined by gradient ascent");
}

void add_settings_to(CLI::App& app, EvalArguments& a) {
  add_number(app, "--samples", a.samples,
             "Latent samples per example (default: 1 for elbo, 5000 for iwae, prior and --gaps)", kCount)
      ->default_str("");
  add_number(app, "--chains", a.chains, "ais: chains per example", kCount);
  add_number(app, "--temperatures", a.ais.temperatures, "ais: steps from the prior to the posterior", kCount);
  add_name(app, "--annealing", a.ais.schedule, "ais: linear or sigmoidal inverse temperatures");
  add_number(app, "--refine-steps", a.refine.steps, "gaps: steps of Adam for each example", kCount);
  add_number(app, "--refine-samples", a.refine.samples, "gaps: latent samples of an example in a step", kCount);
  add_number(app, "--refine-lr", a.refine.learning_rate, "gaps: learning rate at first, which falls to 0", {1e-9, 10});
  add_number(app, "--examples", a.examples, "Only the first N examples (default: all)", kCount)->default_str("");
  add_number(
      app, "--batch", a.batch,
      "Examples per batch; changes only speed and memory (default: 500 for elbo and --exact, 100 for --gaps, what "
      "suits the device for the other bounds)",
      kCount)
      ->default_str("");
}

}  // namespace

Command add_eval(CLI::App& program) {
  CLI::App* const app = program.add_subcommand(
      "eval", "Evaluate a model: ELBO, reconstruction, KL, active units; log p(x); gaps of the posterior");
  const auto arguments = std::make_shared<EvalArguments>();
  arguments->add_to(*app);
  arguments->data.add_to(*app, "Seed of the latent samples and the binarization");
  add_kinds_to(*app, *arguments);
  add_settings_to(*app, *arguments);
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
      "  cuvae eval runs/first --data data/mnist-10k --bound iwae --per-example log_p.npy\n"
      "  cuvae eval runs/first --data data/mnist-10k --bound ais --examples 100\n"
      "  cuvae eval runs/first --data data/mnist-10k --gaps --examples 100");
  return {app, [arguments] { return evaluate_model(*arguments); }};
}

}  // namespace cuvae::cli
