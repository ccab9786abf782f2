// Tables of what was recorded. The figure that decides is variance x time: what it takes to halve the noise.
#include <algorithm>
#include <cstdio>
#include <set>

#include "atomic_file.h"
#include "estimators/statistics.h"
#include "estimators/suite.h"
#include "text.h"

namespace cuvae::bench {
namespace {

// One row for each measurement, with what its cell says of itself.
std::vector<Json> rows_of(const Records& records) {
  std::vector<Json> rows;
  for (const Json& record : records.all()) {
    if (!record.contains("rows")) {
      rows.push_back(record);
      continue;
    }
    for (const Json& found : record["rows"]) {
      Json row = record;
      row.erase("rows");
      row.update(found);
      rows.push_back(row);
    }
  }
  return rows;
}

std::string point_of(const Json& r) {
  return r.value("stage", "") + " " + std::to_string(r.value("layers", 0)) + " hidden, latent " +
         std::to_string(r.value("latent", 0)) + ", K " + std::to_string(r.value("samples", 0)) + ", batch " +
         std::to_string(r.value("batch", 0));
}

// The times lie in a cell of their own, pathwise in one of its own too.
void join(std::vector<Json>& rows) {
  std::map<std::string, Json> times;
  std::map<std::string, double> pathwise;
  for (const Json& r : rows) {
    if (r["suite"] != "vae") continue;
    if (r.contains("gradient_ms")) times[point_of(r) + r["estimator"].get<std::string>()] = r;
    if (r.contains("variance") && r["estimator"] == "pathwise") pathwise[point_of(r)] = r["variance"].get<double>();
  }
  for (Json& r : rows) {
    if (r["suite"] != "vae" || !r.contains("variance")) continue;
    const auto time = times.find(point_of(r) + r["estimator"].get<std::string>());
    if (time != times.end())
      for (const char* name : {"gradient_ms", "gradients_per_second", "time_ratio"}) r[name] = time->second[name];
    const auto base = pathwise.find(point_of(r));
    if (base == pathwise.end()) continue;
    r["variance_ratio"] = r["variance"].get<double>() / base->second;
    if (r.contains("time_ratio"))
      r["variance_time_ratio"] = r["variance_ratio"].get<double>() * r["time_ratio"].get<double>();
  }
}

std::string cell(const Json& r, const char* name, int digits = 4) {
  return r.contains(name) && r[name].is_number() ? number(r[name].get<double>(), digits) : "";
}

void print_toy(const std::vector<Json>& rows) {
  std::printf("\ntoy: variance of one draw's gradient\n%-14s %8s %4s %3s %6s %-18s %12s %12s %26s\n", "problem",
              "k, delta", "d", "K", "by", "estimator", "exact", "measured", "95% interval");
  for (const Json& r : rows)
    if (r["suite"] == "toy")
      std::printf("%-14s %8s %4s %3s %6s %-18s %12s %12s %12s to %10s\n", r["problem"].get<std::string>().c_str(),
                  cell(r, r.contains("k") ? "k" : "delta").c_str(), cell(r, "d").c_str(), cell(r, "samples").c_str(),
                  r["parameter"].get<std::string>().c_str(), r["estimator"].get<std::string>().c_str(),
                  cell(r, "exact_variance", 6).c_str(), cell(r, "variance", 6).c_str(), cell(r, "variance_low").c_str(),
                  cell(r, "variance_high").c_str());
}

void print_vae(const std::vector<Json>& rows) {
  std::string point;
  for (const Json& r : rows) {
    if (r["suite"] != "vae" || !r.contains("variance")) continue;
    if (point_of(r) != point) {
      point = point_of(r);
      std::printf("\nvae: %s\n%-18s %11s %23s %8s %18s %6s %9s %7s %8s %11s\n", point.c_str(), "estimator", "variance",
                  "95% interval", "SNR", "bias", "draws", "grad./s", "time x", "var. x", "var. time x");
    }
    std::printf("%-18s %11s %11s to %8s %8s %8s +- %6s %6s %9s %7s %8s %11s\n",
                r["estimator"].get<std::string>().c_str(), cell(r, "variance").c_str(), cell(r, "variance_low").c_str(),
                cell(r, "variance_high").c_str(), cell(r, "snr", 3).c_str(), cell(r, "bias", 2).c_str(),
                cell(r, "bias_error", 2).c_str(), cell(r, "draws").c_str(), cell(r, "gradients_per_second", 3).c_str(),
                cell(r, "time_ratio", 3).c_str(), cell(r, "variance_ratio", 3).c_str(),
                cell(r, "variance_time_ratio", 3).c_str());
  }
}

void print_cost(const std::vector<Json>& rows) {
  std::printf("\ncost: time beside pathwise with the same K\n%3s %6s %-18s %12s %12s %10s %20s %10s\n", "K", "batch",
              "estimator", "gradient ms", "backward ms", "gradient x", "quartiles", "backward x");
  for (const Json& r : rows)
    if (r["suite"] == "cost")
      std::printf("%3s %6s %-18s %12s %12s %10s %8s to %8s %10s\n", cell(r, "samples").c_str(),
                  cell(r, "batch").c_str(), r["estimator"].get<std::string>().c_str(), cell(r, "gradient_ms").c_str(),
                  cell(r, "backward_ms").c_str(), cell(r, "time_ratio").c_str(), cell(r, "time_ratio_low").c_str(),
                  cell(r, "time_ratio_high").c_str(), cell(r, "backward_ratio").c_str());
}

void print_curves(const std::vector<Json>& rows) {
  std::printf("\ncurves: held-out -ELBO, nats\n%-18s %3s %4s %8s %10s %10s\n", "estimator", "K", "run", "steps",
              "seconds", "-ELBO");
  for (const Json& r : rows)
    if (r["suite"] == "curves")
      std::printf("%-18s %3s %4s %8s %10s %10s\n", r["estimator"].get<std::string>().c_str(),
                  cell(r, "samples").c_str(), cell(r, "run").c_str(), r["steps"].back().dump().c_str(),
                  number(r["seconds"].back().get<double>(), 3).c_str(), cell(r, "last_loss", 5).c_str());
}

void print_snr(const std::vector<Json>& rows) {
  std::map<std::string, std::vector<std::pair<double, double>>> points;
  std::vector<std::string> names;
  for (const Json& r : rows)
    if (r["suite"] == "snr") {
      const std::string name = r["estimator"].get<std::string>();
      if (!points.contains(name)) names.push_back(name);
      points[name].emplace_back(r["samples"].get<double>(), r["snr"].get<double>());
    }
  std::printf("\nsnr: signal to noise of the encoder's gradient\n%-18s %9s %14s  K: SNR\n", "estimator", "slope", "");
  for (const std::string& name : names) {
    const Interval slope = log_log_slope(points[name]);
    std::printf("%-18s %9s +- %-11s", name.c_str(), number(slope.mean, 3).c_str(), number(slope.half, 2).c_str());
    for (const auto& [K, snr] : points[name]) std::printf(" %g: %s,", K, number(snr, 3).c_str());
    std::printf("\n");
  }
}

void write_csv(const std::filesystem::path& path, const std::vector<Json>& rows) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const Json& r : rows)
    for (const auto& [name, value] : r.items())
      if (!value.is_structured() && seen.insert(name).second) names.push_back(name);
  write_file_atomically(path, [&](std::ostream& out) {
    for (std::size_t i = 0; i < names.size(); ++i) out << (i > 0 ? "," : "") << names[i];
    for (const Json& r : rows) {
      out << '\n';
      for (std::size_t i = 0; i < names.size(); ++i)
        out << (i > 0 ? "," : "") << (r.contains(names[i]) && !r[names[i]].is_structured() ? r[names[i]].dump() : "");
    }
    out << '\n';
  });
}

}  // namespace

void report(const Records& records) {
  std::vector<Json> rows = rows_of(records);
  join(rows);
  const std::pair<const char*, void (*)(const std::vector<Json>&)> tables[] = {
      {"toy", print_toy}, {"vae", print_vae}, {"cost", print_cost}, {"curves", print_curves}, {"snr", print_snr}};
  for (const auto& [suite, print] : tables)
    if (std::any_of(rows.begin(), rows.end(), [&, name = suite](const Json& r) { return r["suite"] == name; }))
      print(rows);
  write_csv(records.folder() / "results.csv", rows);
  write_file_atomically(records.folder() / "results.json",
                        [&](std::ostream& out) { out << Json(rows).dump(1) << '\n'; });
  std::printf("\n%zu rows in %s and results.json\n", rows.size(), (records.folder() / "results.csv").c_str());
}

}  // namespace cuvae::bench
