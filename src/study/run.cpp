// From options to cells, cells to records, records to a report.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "data/check_data.h"
#include "io/text.h"
#include "process/limited_memory.h"
#include "process/stop_signals.h"
#include "study/models.h"

namespace cuvae::bench {
namespace {

std::string clock(double seconds) {
  char text[32];
  const int s = static_cast<int>(seconds + 0.5);
  std::snprintf(text, sizeof text, "%d:%02d", s / 60, s % 60);
  return text;
}

std::string hexadecimal(std::uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

Json settings_of(const EstimatorOptions& o, const Backend& backend) {
  const auto absolute = [](const std::string& path) {
    std::error_code failed;
    const std::filesystem::path there = std::filesystem::absolute(path, failed);
    return path_to_json(path.empty() || failed ? path : there.lexically_normal().string());
  };
  return {{"version", 2},
          {"device", backend.name()},
          {"machine", backend.description()},
          {"precision", to_string(o.precision)},
          {"quick", o.quick},
          {"draws", o.draws},
          {"budget", o.budget},
          {"seed", o.seed},
          {"data", absolute(o.data)},
          {"checkpoint", absolute(o.checkpoint)}};
}

Json provenance_of(const EstimatorOptions& o, const Backend& backend, const Json& settings) {
  const char* commit = std::getenv("CUVAE_COMMIT");
  return {{"machine", backend.description()},
          {"device", backend.name()},
          {"threads", o.threads},
          {"commit", commit != nullptr && *commit != '\0' ? commit : CUVAE_BUILD_COMMIT},
          {"settings", hexadecimal(hash_of(settings.dump()))}};
}

// Opens the data that the suites need. Batches are binarized as in the model's training.
void open_data(Context& context) {
  const EstimatorOptions& o = context.options;
  const auto among = [&](const char* suite) { return std::count(o.suites.begin(), o.suites.end(), suite) > 0; };
  if (!among("vae") && !among("discrete") && !among("cost") && !among("curves")) return;
  std::optional<CheckpointInfo> info;
  if (!o.checkpoint.empty()) info = read_checkpoint_info(o.checkpoint);
  if (info &&
      (info->model.has_bernoulli_latents() || !info->model.above.empty() || info->model.prior != Prior::standard))
    throw Error(o.checkpoint + ": the suites vae and cost take models of one Gaussian layer under a standard prior");
  context.train = Dataset::open(o.data, Split::train, info ? std::vector{info->model.data_dim} : std::vector<Index>{});
  VaeConfig model = model_for(*context.train, 1, context.width(), 20);
  if (among("curves")) {
    if (!std::filesystem::is_directory(o.data))
      throw Error(o.data + ": is one file; the suite curves needs a folder of training and test images");
    context.test = Dataset::open(o.data, Split::test, {context.train->cols()});
    check_data_fits(*context.train, model, Binarize::stochastic);
    check_data_fits(*context.test, model, Binarize::stochastic);
  }
  if (info) model = info->model, context.binarize = info->training.binarize;
  check_data_fits(*context.train, model, context.binarize);
  measure_speed(context);
}

}  // namespace

std::uint64_t hash_of(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

std::string hash_of(const std::vector<Variant>& variants) {
  std::string names;
  for (const Variant& v : variants) names += v.name() + " ";
  return hexadecimal(hash_of(names)).substr(0, 8);
}

Outcome run_cells(const std::vector<Cell>& cells, Records& records, const Json& provenance,
                  const std::atomic<bool>& stop) {
  Outcome outcome;
  double expected = 0, done = 0, spent = 0;
  std::size_t left = 0;
  for (const Cell& cell : cells)
    if (!records.has(cell.key)) expected += cell.seconds, ++left;
  std::printf("%zu cells, %zu to measure; expected time %s\n", cells.size(), left, clock(expected).c_str());
  std::fflush(stdout);
  const double start = now();
  std::size_t n = 0;
  for (const Cell& cell : cells) {
    ++n;
    if (records.has(cell.key)) continue;
    if ((outcome.stopped = stop)) return outcome;
    const double begin = now();
    Json record = provenance;
    record["suite"] = cell.suite;
    record["key"] = cell.key;
    bool failed = false;
    try {
      Json found = cell.measure();
      if (found.is_array())
        record["rows"] = std::move(found);
      else
        record.update(found);
      record["wall_seconds"] = now() - begin;
      record["expected_seconds"] = cell.seconds;
      Records::check(record);
    } catch (const Error& error) {
      outcome.failures.push_back(cell.key + ": " + error.what());
      failed = true;
    }
    if (!failed) records.add(std::move(record));
    // Corrects the remaining time by the ratio of measured to expected time so far.
    done += cell.seconds, spent = now() - start;
    std::printf("[%zu/%zu] %s%s  elapsed %s, remaining %s\n", n, cells.size(), cell.key.c_str(),
                failed ? "  failed" : "", clock(spent).c_str(),
                clock(done > 0 ? (expected - done) * spent / done : 0).c_str());
    std::fflush(stdout);
  }
  return outcome;
}

int run_estimators(EstimatorOptions& options) {
  if (!options.device.starts_with("cuda")) cli::compile_products_if_limited();
  const auto backend = make_backend(options.device, options.threads, options.precision);
  Context context{options, *backend, options.out};
  if (options.toy_only) {
    print_seed_example(context);
    return 0;
  }
  open_data(context);
  std::vector<Cell> cells;
  const std::pair<const char*, std::vector<Cell> (*)(Context&)> suites[] = {
      {"toy", toy_cells},   {"vae", vae_cells},      {"discrete", discrete_cells},
      {"cost", cost_cells}, {"curves", curve_cells}, {"snr", snr_cells}};
  for (const auto& [name, make] : suites)
    if (std::find(options.suites.begin(), options.suites.end(), name) != options.suites.end())
      for (Cell& cell : make(context)) cells.push_back(std::move(cell));
  if (cells.empty()) throw Error("--estimators: none of them is in the chosen suites");
  const Json settings = settings_of(options, *backend);
  Records records(options.out, settings);  // after all checks of the settings
  std::printf("%s: %s\n", backend->name().c_str(), backend->description().c_str());
  const Json provenance = provenance_of(options, *backend, settings);
  const auto others = std::count_if(records.all().begin(), records.all().end(), [&](const Json& record) {
    return record.value("commit", Json()) != provenance.at("commit");
  });
  if (others > 0) std::printf("%d of the existing measurements are from another commit\n", static_cast<int>(others));
  const cli::StopSignals signals;
  const Outcome outcome = run_cells(cells, records, provenance, *signals.flag());
  report(records, cells);
  if (!outcome.failures.empty())
    throw Error(std::to_string(outcome.failures.size()) +
                " of the measurements failed; the first: " + outcome.failures[0]);
  if (!outcome.stopped) return 0;
  std::printf("stopped; run the same command to continue\n");
  return signals.exit_code();
}

}  // namespace cuvae::bench
