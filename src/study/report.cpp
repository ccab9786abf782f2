// Tables of the records. The most useful number is variance x time: the time to reach the same noise relative to the
// signal, for the same objective.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "io/atomic_file.h"
#include "io/text.h"
#include "study/statistics.h"
#include "study/suite.h"

namespace cuvae::bench {
namespace {

bool is_discrete(const Json& r) { return r["suite"] == "discrete"; }

std::string point_of(const Json& r) {
  return r.value("stage", "") + " " + std::to_string(r.value("layers", 0)) + " hidden, " +
         (is_discrete(r) ? "units " : "latent ") + std::to_string(r.value("latent", 0)) + ", K " +
         std::to_string(r.value("samples", 0)) + ", batch " + std::to_string(r.value("batch", 0));
}

bool is_draws(const Json& r) { return (r["suite"] == "vae" || is_discrete(r)) && r.contains("variance"); }
// The estimator with the same objective that ratios refer to.
const char* base_of(const Json& r) {
  const bool of_bound = is_importance_weighted(parse_variants({r["estimator"].get<std::string>()})[0].estimator);
  return is_discrete(r) ? (of_bound ? "vimco" : "rloo") : (of_bound ? "iwae" : "pathwise");
}
bool is_times(const Json& r) { return r.contains("gradient_ms") && !is_draws(r); }

std::string key_of(const Json& r, const std::string& estimator) {
  return r["suite"].get<std::string>() + point_of(r) + " " + estimator;
}
std::string key_of(const Json& r) { return key_of(r, r["estimator"].get<std::string>()); }

// All rows in the order of the cells, then the rows of other cells. If an estimator was timed several times, the last
// row counts.
std::vector<Json> all_rows(const Records& records, const std::vector<Cell>& cells) {
  std::vector<Json> rows;
  std::map<std::string, std::size_t> timed;
  for (const Json& record : records.all())
    for (Json& row : rows_of(record)) {
      if (!is_times(row)) {
        rows.push_back(std::move(row));
        continue;
      }
      const auto [place, is_new] = timed.try_emplace(key_of(row), rows.size());
      if (is_new)
        rows.push_back(std::move(row));
      else
        rows[place->second] = std::move(row);
    }
  std::map<std::string, std::size_t> number;
  for (const Cell& cell : cells) number.try_emplace(cell.key, number.size());
  const auto place = [&](const Json& row) {
    const auto found = number.find(row["key"].get<std::string>());
    return found == number.end() ? number.size() : found->second;
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const Json& a, const Json& b) { return place(a) < place(b); });
  return rows;
}

double get(const Json& r, const char* name) {
  return r.contains(name) && r[name].is_number() ? r[name].get<double>() : std::nan("");
}

// A positive number with the interval from value * exp(-spread) to value * exp(spread).
struct Figure {
  double value = 1, spread = 0;
  Figure over(const Figure& other) const { return {value / other.value, std::hypot(spread, other.spread)}; }
  Figure times(const Figure& other) const { return {value * other.value, std::hypot(spread, other.spread)}; }
};

void add(Json& r, const std::string& name, const Figure& f) {
  if (!std::isfinite(f.value) || !std::isfinite(f.spread) || f.value <= 0) return;
  r[name] = f.value;
  r[name + "_low"] = f.value * std::exp(-f.spread), r[name + "_high"] = f.value * std::exp(f.spread);
}

// The variance of a gradient after it is scaled to the length of the reference. Only nvil-scaled changes the scale: its
// gradient is shorter and has a smaller variance, but not less noise. NaN for rws-dreg and wake-phi, which have another
// objective.
Figure comparable(const Json& r) {
  if (r["estimator"] == "rws-dreg" || r["estimator"] == "wake-phi") return {std::nan("")};
  const Figure variance{get(r, "variance"), (get(r, "variance_high") - get(r, "variance")) / get(r, "variance")};
  if (r["estimator"] != "nvil-scaled") return variance;
  const double scale = get(r, "scale"), spread = 1.96 * get(r, "scale_error") / scale;
  if (!(scale > 0 && spread < 0.5)) return {std::nan("")};
  return variance.over({scale * scale, 2 * spread});
}

Figure time_of(const Json& r) {
  return {get(r, "time_ratio"), std::log(get(r, "time_ratio_high") / get(r, "time_ratio_low")) / 2};
}

// Ratios to the base with the same objective. The times come from other cells.
void join(std::vector<Json>& rows) {
  std::map<std::string, Json> times, draws;
  for (Json& r : rows) {
    if (is_times(r)) times[key_of(r)] = r;
    if (!is_draws(r)) continue;
    add(r, "comparable_variance", comparable(r));
    draws[key_of(r)] = r;
  }
  for (Json& r : rows) {
    if (!is_draws(r)) continue;
    const auto time = times.find(key_of(r));
    if (time != times.end())
      for (const char* name :
           {"gradient_ms", "gradients_per_second", "time_ratio", "time_ratio_low", "time_ratio_high"})
        r[name] = time->second[name];
    const std::string name = r["estimator"].get<std::string>(), base_name = base_of(r);
    const auto base = draws.find(key_of(r, base_name)), base_time = times.find(key_of(r, base_name));
    if (base == draws.end()) continue;
    r["base"] = base_name;
    const bool itself = name == base_name;
    const Figure ratio = itself ? Figure{} : comparable(r).over(comparable(base->second));
    add(r, "variance_ratio", ratio);
    if (time == times.end() || base_time == times.end()) continue;
    const Figure time_ratio = itself ? Figure{} : time_of(time->second).over(time_of(base_time->second));
    add(r, "variance_time_ratio", ratio.times(time_ratio));
  }
}

// "0.93 (0.9-0.97)"
std::string with_interval(const Json& r, const std::string& name) {
  const double value = get(r, name.c_str());
  if (!std::isfinite(value)) return "";
  return number(value, 3) + " (" + number(get(r, (name + "_low").c_str()), 3) + "-" +
         number(get(r, (name + "_high").c_str()), 3) + ")";
}

std::string cell(const Json& r, const char* name, int digits = 4) {
  if (!r.contains(name)) return "";
  if (r[name].is_null()) return "not finite";
  return r[name].is_number() ? result(r[name].get<double>(), digits) : "";
}

void print_toy(const std::vector<Json>& rows) {
  std::printf("\ntoy: variance of one draw's gradient of E f\n%-13s %8s %4s %5s %6s %-26s %12s %12s %26s\n", "f",
              "k, delta", "d", "K", "by", "estimator", "exact", "measured", "95% interval");
  for (const Json& r : rows)
    if (r["suite"] == "toy")
      std::printf("%-13s %8s %4s %5s %6s %-26s %12s %12s %12s to %10s\n", r["f"].get<std::string>().c_str(),
                  cell(r, r.contains("k") ? "k" : "delta").c_str(), cell(r, "d").c_str(), cell(r, "samples").c_str(),
                  r["parameter"].get<std::string>().c_str(), r["estimator"].get<std::string>().c_str(),
                  cell(r, "exact_variance", 6).c_str(), cell(r, "variance", 6).c_str(), cell(r, "variance_low").c_str(),
                  cell(r, "variance_high").c_str());
}

void print_draws(const std::vector<Json>& rows, bool discrete) {
  std::string point;
  for (const Json& r : rows) {
    if (!is_draws(r) || is_discrete(r) != discrete) continue;
    if (point_of(r) != point) {
      point = point_of(r);
      std::printf("\n%s: %s\n%-26s %28s %22s %18s %6s %8s %7s %30s %30s%s\n", discrete ? "discrete" : "vae",
                  point.c_str(), "estimator", "variance", "SNR", "bias", "draws", "grad./s", "time x", "var. x",
                  "var. time x", discrete ? " exact variance" : "");
    }
    const std::string bias = r.contains("bias") ? cell(r, "bias", 2) + " +- " + cell(r, "bias_error", 2) : "";
    std::printf("%-26s %28s %22s %18s %6s %8s %7s %30s %30s%s\n", r["estimator"].get<std::string>().c_str(),
                with_interval(r, "variance").c_str(), with_interval(r, "snr").c_str(), bias.c_str(),
                cell(r, "draws").c_str(), cell(r, "gradients_per_second", 3).c_str(), cell(r, "time_ratio", 3).c_str(),
                with_interval(r, "variance_ratio").c_str(), with_interval(r, "variance_time_ratio").c_str(),
                discrete ? (" " + cell(r, "exact_variance")).c_str() : "");
  }
}
void print_vae(const std::vector<Json>& rows) { print_draws(rows, false); }
void print_discrete(const std::vector<Json>& rows) { print_draws(rows, true); }

void print_cost(const std::vector<Json>& rows) {
  std::printf("\ncost: time relative to pathwise with the same K\n%3s %6s %-26s %12s %12s %22s %22s\n", "K", "batch",
              "estimator", "gradient ms", "backward ms", "gradient x, quartiles", "backward x, 95%");
  for (const Json& r : rows)
    if (r["suite"] == "cost")
      std::printf("%3s %6s %-26s %12s %12s %22s %22s\n", cell(r, "samples").c_str(), cell(r, "batch").c_str(),
                  r["estimator"].get<std::string>().c_str(), cell(r, "gradient_ms").c_str(),
                  cell(r, "backward_ms").c_str(), with_interval(r, "time_ratio").c_str(),
                  with_interval(r, "backward_ratio").c_str());
}

void print_curves(const std::vector<Json>& rows) {
  std::printf("\ncurves: held-out -ELBO, nats\n%-26s %3s %4s %8s %10s %10s\n", "estimator", "K", "run", "steps",
              "seconds", "-ELBO");
  for (const Json& r : rows)
    if (r["suite"] == "curves")
      std::printf("%-26s %3s %4s %8s %10s %10s\n", r["estimator"].get<std::string>().c_str(),
                  cell(r, "samples").c_str(), cell(r, "run").c_str(), r["steps"].back().dump().c_str(),
                  number(r["seconds"].back().get<double>(), 3).c_str(), cell(r, "last_loss", 5).c_str());
}

// The error of the signal to noise ratio comes mostly from the norm, and also from the variance.
LogPoint log_point(const Json& r) {
  return {
      r["samples"].get<double>(), r["snr"].get<double>(),
      std::hypot(get(r, "squared_norm_error") / get(r, "squared_norm"), get(r, "variance_error") / get(r, "variance")) /
          2};
}

void print_snr(const std::vector<Json>& rows) {
  std::map<std::string, std::vector<Json>> points;
  std::vector<std::string> names;
  for (const Json& r : rows)
    if (r["suite"] == "snr") {
      const std::string name = r["estimator"].get<std::string>();
      if (!points.contains(name)) names.push_back(name);
      points[name].push_back(r);
    }
  std::printf("\nsnr: signal to noise of the encoder's gradient\n%-26s %17s %6s  K: SNR\n", "estimator", "slope",
              "points");
  for (const std::string& name : names) {
    std::vector<LogPoint> significant;
    for (const Json& r : points[name])
      if (get(r, "snr_low") > 0) significant.push_back(log_point(r));
    const Interval slope = log_log_slope(significant);
    const std::string text =
        std::isfinite(slope.mean) ? number(slope.mean, 3) + " +- " + number(slope.half, 2) : std::string();
    std::printf("%-26s %17s %6zu ", name.c_str(), text.c_str(), significant.size());
    for (const Json& r : points[name]) std::printf(" %s: %s,", cell(r, "samples").c_str(), cell(r, "snr", 3).c_str());
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

void add_variance(Json& row, const Interval& variance) {
  row["variance"] = variance.mean, row["variance_error"] = variance.error;
  row["variance_low"] = variance.low(), row["variance_high"] = variance.high();
}

void add_snr(Json& row, const Interval& norm, const Interval& variance) {
  const auto snr = [&](double n) { return variance.mean > 0 ? std::sqrt(std::max(0.0, n) / variance.mean) : 0.0; };
  row["squared_norm"] = norm.mean, row["squared_norm_error"] = norm.error;
  row["snr"] = snr(norm.mean), row["snr_low"] = snr(norm.low()), row["snr_high"] = snr(norm.high());
}

void report(const Records& records, const std::vector<Cell>& cells) {
  std::vector<Json> rows = all_rows(records, cells);
  join(rows);
  const std::pair<const char*, void (*)(const std::vector<Json>&)> tables[] = {
      {"toy", print_toy},   {"vae", print_vae},       {"discrete", print_discrete},
      {"cost", print_cost}, {"curves", print_curves}, {"snr", print_snr}};
  for (const auto& [suite, print] : tables)
    if (std::any_of(rows.begin(), rows.end(), [&, name = suite](const Json& r) { return r["suite"] == name; }))
      print(rows);
  write_csv(records.folder() / "results.csv", rows);
  write_file_atomically(records.folder() / "results.json",
                        [&](std::ostream& out) { out << Json(rows).dump(1) << '\n'; });
  std::printf("\n%zu rows in %s and results.json\n", rows.size(),
              printable((records.folder() / "results.csv").string()).c_str());
}

}  // namespace cuvae::bench
