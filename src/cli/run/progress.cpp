#include "cli/run/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>

#include "cli/run/quantities.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

template <class... Values>
std::string format(const char* pattern, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

double seconds_left(const Progress& p, Index batch) {
  const double examples = static_cast<double>(p.total_steps - p.step) * static_cast<double>(batch);
  return examples / std::max(p.examples_per_second, 1e-9);
}

std::string epoch_line(const Progress& p) {
  std::string line = format("epoch %*lld/%lld", static_cast<int>(std::to_string(p.epochs).size()),
                            static_cast<long long>(p.epoch), static_cast<long long>(p.epochs));
  line += "  loss " + fixed(p.train.loss, 3) + "  reconstruction " + fixed(p.train.reconstruction, 3) + "  kl " +
          fixed(p.train.kl, 3) +
          format("  active %lld/%lld", static_cast<long long>(p.train.active_units),
                 static_cast<long long>(p.train.latent));
  if (const auto& bound = p.validation_bound)
    line += "  validation " + bound_name(bound->bound, bound->samples) + ' ' + fixed(bound->value, 3);
  else if (p.validation)
    line += "  validation ELBO " + fixed(p.validation->elbo, 3);
  if (p.best) line += " (best)";
  if (p.validation && p.validation->layers.size() > 1)
    line += "  layers: kl " + kl_of_layers(*p.validation, 3) + " active " + active_of_layers(*p.validation);
  if (p.train.skipped > 0) line += format("  skipped %llu", static_cast<unsigned long long>(p.train.skipped));
  return line + format("  %.0f examples/s", p.examples_per_second);
}

std::string bar_line(const Progress& p, Index batch) {
  constexpr std::size_t width = 16;  // the whole line fits 80 columns
  const double done = static_cast<double>(p.step) / static_cast<double>(p.total_steps);
  std::string bar(width, '.');
  std::fill_n(bar.begin(), static_cast<std::size_t>(done * width), '#');
  std::string line =
      format("epoch %lld/%lld [%s] %3.0f%%  loss %s", static_cast<long long>(p.epoch), static_cast<long long>(p.epochs),
             bar.c_str(), std::floor(100 * done), fixed(p.train.loss, 2).c_str());
  return line + format("  %.0f examples/s  %s left", p.examples_per_second, duration(seconds_left(p, batch)).c_str());
}

}  // namespace

std::string duration(double seconds) {
  const auto total = static_cast<long long>(std::min(std::round(seconds), 1e9));
  const long long hours = total / 3600, minutes = total / 60 % 60;
  if (hours > 0) return format("%lld:%02lld:%02lld", hours, minutes, total % 60);
  return format("%lld:%02lld", minutes, total % 60);
}

ProgressDisplay::ProgressDisplay(bool quiet, Index batch, std::string title)
    : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1), batch_(batch), title_(std::move(title)) {}

void ProgressDisplay::show(const Progress& progress) {
  if (quiet_) return;
  if (!title_.empty()) std::cerr << std::exchange(title_, {}) + '\n';
  if (terminal_) {
    constexpr const char* renew = "\r\033[K";  // back to the first column, and clear the line
    std::cerr << renew + bar_line(progress, batch_);
    line_open_ = true;
  } else if (progress.epoch_end) {
    std::cerr << epoch_line(progress) + "\n";
  }
}

void ProgressDisplay::end_line() {
  if (line_open_) std::cerr << '\n';
  line_open_ = false;
}

}  // namespace cuvae::cli
