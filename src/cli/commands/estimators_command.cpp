// cuvae estimators: the benchmark of the gradient estimators in src/study.
#include "cli/commands/command.h"
#include "study/command.h"

namespace cuvae::cli {

Command add_estimators(CLI::App& program) {
  CLI::App* const app =
      program.add_subcommand("estimators", "Measure the variance and the cost of each gradient estimator on one model");
  return {app, bench::add_estimator_flags(*app)};
}

}  // namespace cuvae::cli
