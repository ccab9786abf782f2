#include "cli/run/metrics_log.h"

#include <cerrno>
#include <sstream>
#include <string>
#include <system_error>

#include "cli/run/layers_json.h"
#include "cuvae/error.h"
#include "cuvae/estimator.h"
#include "io/atomic_file.h"
#include "io/input_file.h"
#include "io/json_text.h"

namespace cuvae::cli {
namespace {

using Json = nlohmann::ordered_json;

// A line that a kill or a full disk cut short does not parse. It belongs to no checkpoint.
bool is_up_to(const std::string& line, std::uint64_t step) {
  try {
    const nlohmann::json object = parse_json(line);
    std::uint64_t of_line = 0;
    return object.is_object() && object.contains("step") && get_exactly(object["step"], of_line) && of_line <= step;
  } catch (const Error&) {
    return false;
  }
}

void cut_after(const std::filesystem::path& path, std::uint64_t step) {
  constexpr std::size_t most_bytes = std::size_t{1} << 32;
  std::istringstream lines(read_file(path, most_bytes));
  lines.exceptions(std::ios::badbit);  // too little memory must not look like the end of the file
  write_file_atomically(path, [&](std::ostream& out) {
    for (std::string line; std::getline(lines, line) && is_up_to(line, step);) out << line << '\n';
  });
}

FileDescriptor open_after(const std::filesystem::path& path, std::uint64_t step) {
  refuse_link(path);
  if (std::filesystem::exists(path)) cut_after(path, step);
  return open_file(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW);
}

// NaN and infinities are written as null.
Json json_of(const Progress& p, const TrainConfig& training) {
  Json object = {{"kind", p.epoch_end ? "epoch" : "step"},
                 {"epoch", p.epoch},
                 {"step", p.step},
                 {"loss", p.train.loss},
                 {"elbo", p.train.reconstruction - p.train.kl},
                 {"reconstruction", p.train.reconstruction},
                 {"kl", p.train.kl},
                 {"kl_dims", p.train.kl_dims},
                 {"active_units", p.train.steps > 0 ? Json(p.train.active_units) : Json()},
                 {"gradient_norm", p.train.gradient_norm},
                 {"skipped", p.train.skipped},
                 {"learning_rate", p.learning_rate},
                 {"beta", p.beta},
                 {"seconds", p.seconds},
                 {"examples_per_second", p.examples_per_second}};
  if (is_importance_weighted(training.estimator)) object["bound"] = -p.train.loss;
  if (p.validation) {
    const Evaluation& v = *p.validation;
    object["validation"] = {
        {"elbo", v.elbo}, {"reconstruction", v.reconstruction}, {"kl", v.kl}, {"layers", layers_json(v.layers)}};
    if (p.validation_bound) object["validation"]["bound"] = p.validation_bound->value;
  }
  return object;
}

}  // namespace

MetricsLog::MetricsLog(std::filesystem::path path, std::uint64_t step)
    : path_(std::move(path)), file_(open_after(path_, step)) {
  if (!file_) fail(errno);
  sync_folder(path_.parent_path());
}

void MetricsLog::append(const Progress& progress, const TrainConfig& training) {
  const std::string line = json_of(progress, training).dump() + "\n";
  const off_t end = ::lseek(file_.get(), 0, SEEK_END);
  const int error = write_all(file_, line.data(), line.size());
  if (error != 0 && ::ftruncate(file_.get(), end) != 0) fail(error);  // part of a line is left; resuming removes it
  if (error != 0) fail(error);
  synced_ = false;
}

void MetricsLog::sync() {
  if (!synced_ && ::fsync(file_.get()) != 0) fail(errno);
  synced_ = true;
}

void MetricsLog::fail(int error) const {
  throw Error(path_.string() + ": cannot write: " + std::generic_category().message(error));
}

}  // namespace cuvae::cli
