// A suite is a list of cells, a cell one measurement with a key of its own and the time that it is expected to take.
#pragma once
#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cuvae/cuvae.h"
#include "estimators/records.h"
#include "estimators/variants.h"

namespace cuvae::bench {

struct EstimatorOptions {
  std::vector<std::string> suites;
  std::vector<Variant> variants;
  std::string device = "cpu", data, checkpoint, out;
  int threads = 2;
  Precision precision = Precision::fp32;
  Index draws = 2000;   ///< at most so many gradients of a model in a cell
  double budget = 0.5;  ///< seconds for a cell's draws, beyond the least number
  std::uint64_t seed = 0;
  bool quick = false, toy_only = false;
};

/// What the cells share; lives as long as they do.
struct Context {
  const EstimatorOptions& options;
  Backend& backend;
  std::filesystem::path folder;
  std::optional<Dataset> train, test;  ///< for suites that need data
  double row_seconds = 1e-5;           ///< of one of the (1 + K) B rows that a gradient takes through a network

  Index width() const { return options.quick ? 64 : 400; }  ///< of hidden layers
  std::uint64_t seed(std::uint64_t use) const { return options.seed * 1000003 + use; }
};

struct Cell {
  std::string suite, key;
  double seconds = 0;             ///< expected
  std::function<Json()> measure;  ///< what it found: an object, or an array of objects for several rows
};

std::vector<Cell> toy_cells(Context& context);
std::vector<Cell> vae_cells(Context& context);
std::vector<Cell> cost_cells(Context& context);
std::vector<Cell> curve_cells(Context& context);
std::vector<Cell> snr_cells(Context& context);

/// How long such a row takes here, from a few gradients; needs the data.
double measure_row_seconds(Context& context);

/// The line of the three exact numbers beside what the library draws.
void print_seed_example(Context& context);

/// Runs what is not recorded yet; returns whether it came to the end rather than being stopped.
bool run_cells(const std::vector<Cell>& cells, Records& records, const Json& provenance, const std::atomic<bool>& stop);

/// The tables on the terminal; results.csv and results.json.
void report(const Records& records);

/// Everything that --device, --suite and the rest ask for; the exit code.
int run_estimators(EstimatorOptions& options);

}  // namespace cuvae::bench
