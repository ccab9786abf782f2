// A suite is a list of cells, a cell one measurement with a key of its own and the time that it is expected to take.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cuvae/cuvae.h"
#include "study/records.h"
#include "study/statistics.h"
#include "study/variants.h"

namespace cuvae::bench {

struct EstimatorOptions {
  std::vector<std::string> suites;
  std::vector<Variant> variants;
  std::string device = "auto", data, checkpoint, out;
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
  std::optional<Dataset> train = {}, test = {};  ///< for suites that need data
  double gradient_seconds = 1e-4;                ///< of a gradient, besides
  double row_seconds = 1e-5;                     ///< of each of the (1 + K) B rows that it takes through a network
  Binarize binarize = Binarize::stochastic;      ///< of the model's batches
  std::set<std::string> counted = {};            ///< models whose training is in a cell's expected time

  Index width() const { return options.quick ? 64 : 400; }  ///< of hidden layers
  std::uint64_t seed(std::uint64_t use) const { return options.seed * 1000003 + use; }
};

struct Cell {
  std::string suite, key;
  double seconds = 0;             ///< expected
  std::function<Json()> measure;  ///< what it found: an object, or an array of objects for several rows
};

/// Seconds of a clock that never goes back.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// FNV-1a: a number for a key or for settings, the same in every run.
std::uint64_t hash_of(std::string_view text);
/// Short and for keys: whoever is measured beside whom.
std::string hash_of(const std::vector<Variant>& variants);

void add_variance(Json& row, const Interval& variance);
/// The row's signal to noise from |mean|^2 and the variance, with the interval of the former, the noisier by far.
void add_snr(Json& row, const Interval& squared_norm, const Interval& variance);

std::vector<Cell> toy_cells(Context& context);
std::vector<Cell> vae_cells(Context& context);
std::vector<Cell> cost_cells(Context& context);
std::vector<Cell> curve_cells(Context& context);
std::vector<Cell> snr_cells(Context& context);

/// Sets gradient_seconds and row_seconds from a few gradients; needs the data.
void measure_speed(Context& context);

/// The line of the three exact numbers beside what the library draws.
void print_seed_example(Context& context);

struct Outcome {
  bool stopped = false;
  std::vector<std::string> failures;  ///< "key: what was wrong"
};
/// Runs what is not recorded yet. A cell that cannot be measured does not keep the others from it.
Outcome run_cells(const std::vector<Cell>& cells, Records& records, const Json& provenance,
                  const std::atomic<bool>& stop);

/// The tables on the terminal; results.csv and results.json. In the order of the cells.
void report(const Records& records, const std::vector<Cell>& cells);

/// Everything that --device, --suite and the rest ask for; the exit code.
int run_estimators(EstimatorOptions& options);

}  // namespace cuvae::bench
