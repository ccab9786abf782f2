// cuvae impute.
#include <iostream>

#include "cli/arguments/arguments.h"
#include "cli/commands/command.h"
#include "cli/run/pictures.h"
#include "cli/run/quantities.h"
#include "cli/run/run_folder.h"
#include "cuvae/impute.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

// Bounded so that a typing error does not fill the memory.
constexpr Range kDraws{1, 10000};

struct ImputeArguments : ModelArguments {
  DataArguments data;
  std::string out;
  ImputeOptions options;
};

// On stderr where the array is on stdout.
void print_report(const ImputeArguments& arguments, const Imputation& result) {
  std::ostream& out = arguments.out == kStandardOutput ? std::cerr : std::cout;
  const Index samples = arguments.options.samples;
  out << "examples        " << result.examples << ", of which " << result.incomplete << " have missing values, "
      << result.missing << " in all\n";
  if (result.incomplete > 0)
    out << "effective size  " << number(result.mean_effective, 4) << " of " << samples << " samples on average, "
        << number(result.least_effective, 4) << " at least\n";
}

int impute_data(const ImputeArguments& arguments) {
  check_writable(arguments.out);
  const LoadedModel model = arguments.load();
  if (!model.config().missing_values) throw Error(arguments.model + ": was not trained with --missing");
  const Dataset data = arguments.data.open(model, true);
  ImputeOptions options = arguments.options;
  options.binarize = arguments.data.binarize(model);
  options.seed = arguments.data.seed;
  const Imputation result = impute(model.vae, data, options);
  require_finite(result.completed, data.cols(), arguments.out);
  std::vector<Index> shape{data.rows(), data.cols()};
  if (options.draws > 0) shape.insert(shape.begin(), options.draws);
  write_array(arguments.out, result.completed.data(), shape);
  print_report(arguments, result);
  return 0;
}

}  // namespace

Command add_impute(CLI::App& program) {
  CLI::App* const app =
      program.add_subcommand("impute", "Fill in missing values, by their conditional means or by draws");
  const auto arguments = std::make_shared<ImputeArguments>();
  arguments->add_to(*app);
  arguments->data.add_to(*app, "Seed of the latent samples, the draws and the binarization");
  app->add_option("--out", arguments->out, "The array to write, .npy; -: stdout")
      ->type_name("FILE")
      ->required()
      ->check(with_extension({".npy"}));
  add_number(*app, "--samples", arguments->options.samples, "Latent samples per example", kCount);
  add_number(*app, "--draws", arguments->options.draws,
             "Multiple imputation: write this many completed copies with draws (default: one copy with means)", kDraws)
      ->default_str("");
  add_number(*app, "--batch", arguments->options.batch,
             "Examples per batch; changes only speed and memory (default: what suits the device)", kCount)
      ->default_str("");
  app->footer(
      "The model must have been trained with --missing. The array is float32 [N, D], with --draws M float32\n"
      "[M, N, D], in the units of the data as the model reads them, after --pixel-scale. Values that are not\n"
      "missing stay as they are. docs/missing.md says how the others are found.\n\n"
      "Examples:\n"
      "  cuvae impute runs/survey --data survey.csv --out completed.npy\n"
      "  cuvae impute runs/survey --data survey.csv --out copies.npy --draws 20 --samples 10000");
  return {app, [arguments] { return impute_data(*arguments); }};
}

}  // namespace cuvae::cli
