// A suite is a list of cells. A cell is one measurement, with a unique key and an expected time.
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
  Index draws = 2000;   ///< largest number of gradients in a cell of the suite vae
  double budget = 0.5;  ///< seconds for the gradients of a cell, after the least number of them
  std::uint64_t seed = 0;
  bool quick = false, toy_only = false;
};

/// Data that the cells share. Must outlive them.
struct Context {
  const EstimatorOptions& options;
  Backend& backend;
  std::filesystem::path folder;
  std::optional<Dataset> train = {}, test = {};  ///< for suites that need data
  double gradient_seconds = 1e-4;                ///< the fixed part of a gradient's time
  double row_seconds = 1e-5;                     ///< the other part, for each of the (1 + K) B rows through a network
  Binarize binarize = Binarize::stochastic;      ///< of the model's batches
  std::set<std::string> counted = {};            ///< models whose training is included in a cell's expected time

  Index width() const { return options.quick ? 64 : 400; }  ///< of hidden layers
  std::uint64_t seed(std::uint64_t use) const { return options.seed * 1000003 + use; }
};

struct Cell {
  std::string suite, key;
  double seconds = 0;             ///< expected
  std::function<Json()> measure;  ///< returns the result: an object, or an array of objects for several rows
};

/// Seconds of a monotonic clock.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// FNV-1a, a hash of a key or of settings that is the same in every run.
std::uint64_t hash_of(std::string_view text);
/// A short hash of the variants that are measured together, for keys.
std::string hash_of(const std::vector<Variant>& variants);

void add_variance(Json& row, const Interval& variance);
/// Adds the signal to noise ratio from |mean|^2 and the variance. Its interval is that of |mean|^2, which has far more
/// noise.
void add_snr(Json& row, const Interval& squared_norm, const Interval& variance);

std::vector<Cell> toy_cells(Context& context);
std::vector<Cell> vae_cells(Context& context);
std::vector<Cell> discrete_cells(Context& context);
std::vector<Cell> cost_cells(Context& context);
std::vector<Cell> curve_cells(Context& context);
std::vector<Cell> snr_cells(Context& context);

/// Measures gradient_seconds and row_seconds with a few gradients. Needs the data.
void measure_speed(Context& context);

/// Prints three exact variances and the measured ones.
void print_seed_example(Context& context);

struct Outcome {
  bool stopped = false;
  std::vector<std::string> failures;  ///< "key: reason"
};
/// Measures the cells that are not recorded yet. After a failure it continues with the next cell.
Outcome run_cells(const std::vector<Cell>& cells, Records& records, const Json& provenance,
                  const std::atomic<bool>& stop);

/// Prints the tables and writes results.csv and results.json, in the order of the cells.
void report(const Records& records, const std::vector<Cell>& cells);

/// Runs the whole benchmark with these options and returns the exit code.
int run_estimators(EstimatorOptions& options);

}  // namespace cuvae::bench
