// The command "estimators", of the benchmark program and of the command line.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>

namespace cuvae::bench {

/// Declares the flags; returns what runs it and gives the exit code. Throws CLI::ParseError for wrong usage.
std::function<int()> add_estimator_flags(CLI::App& app);

}  // namespace cuvae::bench
