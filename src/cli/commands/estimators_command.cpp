// cuvae estimators: the benchmark of bench/estimators.
#include "cli/commands/command.h"
#include "study/command.h"

namespace cuvae::cli {

Command add_estimators(CLI::App& program) {
  CLI::App* const app =
      program.add_subcommand("estimators", "Measure variance and cost of each gradient estimator on the same model");
  return {app, bench::add_estimator_flags(*app)};
}

}  // namespace cuvae::cli
