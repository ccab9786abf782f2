#include "estimators/command.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "estimators/suite.h"

namespace cuvae::bench {
namespace {

const std::vector<std::string> kSuites = {"toy", "vae", "curves", "snr", "cost"}, kOfModels = {"vae", "curves", "cost"};

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
  command.add_option_function<std::string>("--precision", set, "Of products: fp32, tf32 or bf16")
      ->type_name("NAME")
      ->default_str("fp32");
}

std::function<int()> add_estimator_flags(CLI::App& app) {
  const auto o = std::make_shared<EstimatorOptions>();
  const auto names = std::make_shared<std::vector<std::string>>();
  app.add_option("--out", o->out, "Folder for cells.jsonl, results.csv and results.json; goes on where it stopped")
      ->type_name("DIR");
  app.add_option("--suite", o->suites, "toy, vae, curves, snr, cost (default: all)")
      ->type_name("NAME")
      ->delimiter(',')
      ->check(CLI::IsMember(kSuites).description(""));
  app.add_option("--estimators", *names,
                 "Those alone (default: all); rloo for all its costs and pairs, rloo/joint for one")
      ->type_name("NAME")
      ->delimiter(',');
  app.add_option("--data", o->data, "Folder of IDX files (default: $CUVAE_DATA, else data/mnist-10k)")
      ->type_name("PATH");
  app.add_option("--checkpoint", o->checkpoint, "Measure at this model, in place of those trained here")
      ->type_name("FILE");
  app.add_option("--draws", o->draws, "Most gradients drawn in a cell of the suite vae")
      ->type_name("N")
      ->check(CLI::Range(Index{10}, Index{100000000}).description(""))
      ->default_str("2000");
  app.add_option("--budget", o->budget, "Seconds of a cell's draws, beyond the least number of them")
      ->type_name("S")
      ->check(CLI::Range(1e-3, 1e6).description(""))
      ->default_str("0.5");
  app.add_option("--seed", o->seed, "Names all random numbers")->type_name("N")->default_str("0");
  app.add_option("--device", o->device, "auto, cpu, cuda or cuda:N")->type_name("NAME")->default_str(o->device);
  add_precision(app, o->precision);
  app.add_option("--threads", o->threads, "CPU threads")
      ->type_name("N")
      ->check(CLI::Range(1, 1024).description(""))
      ->default_str("2");
  app.add_flag("--quick", o->quick, "Everything in miniature, within a minute");
  app.add_flag("--toy", o->toy_only, "Only three variances known exactly, beside measured ones; needs no data");
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
