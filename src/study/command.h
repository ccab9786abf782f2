// The command "estimators", of the benchmark program and of the command line.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>

#include "cuvae/types.h"

namespace cuvae::bench {

/// The option --precision.
void add_precision(CLI::App& command, Precision& precision);

/// Declares the flags; returns what runs it and gives the exit code. Throws CLI::ParseError for wrong usage.
std::function<int()> add_estimator_flags(CLI::App& app);

}  // namespace cuvae::bench
