// The commands of the benchmark program. Each function adds one command to the command line.
#pragma once
#include <CLI/CLI.hpp>

#include "cuvae/cuvae.h"
#include "process/number_flags.h"
#include "study/clock.h"
#include "study/command.h"

namespace cuvae::bench {

/// The range of --seconds.
inline constexpr cli::Range kSeconds{1e-3, 1e6};

void add_step(CLI::App& app);
void add_memory(CLI::App& app);
void add_kernels(CLI::App& app);

/// Random pixels with the size and sparsity of MNIST. The time does not depend on what a model learns from them.
Dataset digits_like(Index rows);

/// The standard model, 784-400-20-400-784.
VaeConfig standard_model();

}  // namespace cuvae::bench
