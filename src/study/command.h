// The command "estimators" of cuvae and cuvae-bench.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>

#include "cuvae/types.h"

namespace cuvae::bench {

/// The option --precision.
void add_precision(CLI::App& command, Precision& precision);

/// Declares the flags. Returns the function that runs the command and returns the exit code; it throws
/// CLI::ParseError for wrong usage.
std::function<int()> add_estimator_flags(CLI::App& app);

}  // namespace cuvae::bench
