// The commands of the program. Each add_ function declares a command's flags to CLI11.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>

namespace cuvae::cli {

struct Command {
  CLI::App* app;
  std::function<int()>
      run;  ///< returns the exit code; throws CLI::ParseError for wrong usage, another exception for a failure
};

Command add_train(CLI::App& program);
Command add_resume(CLI::App& program);
Command add_eval(CLI::App& program);
Command add_impute(CLI::App& program);
Command add_sample(CLI::App& program);
Command add_reconstruct(CLI::App& program);
Command add_interpolate(CLI::App& program);
Command add_traverse(CLI::App& program);
Command add_manifold(CLI::App& program);
Command add_encode(CLI::App& program);
Command add_decode(CLI::App& program);
Command add_info(CLI::App& program);
Command add_estimators(CLI::App& program);
Command add_devices(CLI::App& program);

}  // namespace cuvae::cli
