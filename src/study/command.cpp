#include "study/command.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "process/number_flags.h"
#include "study/suite.h"

namespace cuvae::bench {
namespace {

const std::vector<std::string> kSuites = {"toy", "vae", "discrete", "curves", "snr", "cost"},
                               kOfModels = {"vae", "discrete", "curves", "cost"};

// Throws CLI::ValidationError for a flag that has no effect with the chosen suites and device.
void refuse_idle_flags(const CLI::App& app, const EstimatorOptions& o) {
  const auto refuse = [&](const char* flag, bool effective, const char* why) {
    cli::refuse_idle(app, flag, cli::unless(effective, why));
  };
  refuse("--threads", !o.device.starts_with("cuda"), "on a GPU: it is for the CPU");
  for (const char* flag : {"--suite", "--estimators", "--data", "--checkpoint", "--draws", "--out"})
    refuse(flag, !o.toy_only, "with --toy");
  refuse("--budget", !o.toy_only || !o.quick, "with --toy and --quick");
  const auto any_of = [&](const std::vector<std::string>& suites) {
    return std::find_first_of(o.suites.begin(), o.suites.end(), suites.begin(), suites.end()) != o.suites.end();
  };
  refuse("--data", any_of(kOfModels), "without one of the suites vae, discrete, curves and cost");
  refuse("--checkpoint", any_of({"vae", "cost"}),
         "without one of the suites vae and cost; the suite discrete trains its own models");
  refuse("--draws", any_of({"vae", "discrete"}), "without one of the suites vae and discrete");
}

void resolve(const CLI::App& app, EstimatorOptions& o, const std::vector<std::string>& names) {
  try {
    o.variants = parse_variants(names);
  } catch (const Error& error) {
    throw CLI::ValidationError("--estimators", error.what());
  }
  const bool bf16 = o.precision == Precision::bf16;
  if (o.suites.empty()) o.suites = bf16 ? kOfModels : kSuites;
  for (const char* suite : {"toy", "snr"})
    if (bf16 && std::count(o.suites.begin(), o.suites.end(), suite) > 0)
      throw CLI::ValidationError("--precision", "the suite " + std::string(suite) + " is in fp32 or tf32, not in bf16");
  if (bf16 && o.toy_only) throw CLI::ValidationError("--precision", "--toy is in fp32 or tf32, not in bf16");
  refuse_idle_flags(app, o);
  if (o.out.empty() && !o.toy_only) throw CLI::RequiredError("--out, or --toy");
  if (o.quick && app.count("--budget") == 0) o.budget = 0.04;
  if (o.quick && app.count("--draws") == 0) o.draws = 100;
  if (!o.data.empty()) return;
  const char* from_environment = std::getenv("CUVAE_DATA");
  o.data = from_environment != nullptr && *from_environment != '\0' ? from_environment : "data/mnist-10k";
}

}  // namespace

void add_precision(CLI::App& command, Precision& precision) {
  const auto set = [&precision](const std::string& name) {
    try {
      precision = parse<Precision>(name);
    } catch (const Error& error) {
      throw CLI::ValidationError("--precision", error.what());
    }
  };
  command.add_option_function<std::string>("--precision", set, "Precision of matrix products: fp32, tf32 or bf16")
      ->type_name("NAME")
      ->default_str("fp32");
}

std::function<int()> add_estimator_flags(CLI::App& app) {
  const auto o = std::make_shared<EstimatorOptions>();
  const auto names = std::make_shared<std::vector<std::string>>();
  app.add_option("--out", o->out,
                 "Folder for cells.jsonl, results.csv and results.json; an interrupted run continues there")
      ->type_name("DIR");
  app.add_option("--suite", o->suites, "Suites to run: toy, vae, discrete, curves, snr, cost (default: all)")
      ->type_name("NAME")
      ->delimiter(',')
      ->check(CLI::IsMember(kSuites).description(""));
  app.add_option("--estimators", *names,
                 "Estimators to measure (default: all); rloo stands for all its costs and pairs, rloo/joint for one")
      ->type_name("NAME")
      ->delimiter(',');
  app.add_option("--data", o->data, "Folder of IDX files (default: $CUVAE_DATA, else data/mnist-10k)")
      ->type_name("PATH");
  app.add_option("--checkpoint", o->checkpoint, "Measure on this model instead of models that are trained here")
      ->type_name("FILE");
  cli::add_number(app, "--draws", o->draws, "Largest number of gradients in a cell of the suites vae and discrete",
                  {10, 1e8});
  cli::add_number(app, "--budget", o->budget, "Seconds for the gradients of a cell, after the least number of them",
                  {1e-3, 1e6})
      ->type_name("S");
  cli::add_number(app, "--seed", o->seed, "Seed of all random numbers", cli::kAnySeed);
  app.add_option("--device", o->device, "Where to compute: auto, cpu, cuda or cuda:N")
      ->type_name("NAME")
      ->default_str(o->device);
  add_precision(app, o->precision);
  cli::add_number(app, "--threads", o->threads, "CPU threads", {1, 1024});
  app.add_flag("--quick", o->quick, "A small version of everything, in about a minute");
  app.add_flag("--toy", o->toy_only, "Only compare three exact variances with measured ones; needs no data");
  app.footer(
      "Examples:\n"
      "  estimators --toy\n"
      "  estimators --quick --out build/estimators\n"
      "  estimators --suite vae --estimators pathwise,rloo --checkpoint runs/first/best.safetensors --out build/own");
  return [&app, o, names] {
    resolve(app, *o, *names);
    return run_estimators(*o);
  };
}

}  // namespace cuvae::bench
