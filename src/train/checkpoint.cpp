// Layout of a checkpoint.
// Tensors: the parameters by name ("encoder.0.weight", ...); the optimizer's arenas under "optimizer.m." and
// "optimizer.v."; averaged weights under "ema."; "state" (StepState), "metrics.sums" and "metrics.moments".
// With the estimator score-mean: "running_mean" (RunningMean). With nvil and nvil-scaled: the network's parameters and
// optimizer under "baseline.", "baseline.state" and "baseline.running" (RunningMean of mean and variance).
// With standardized data: "standardization.mean" and "standardization.scale", and if values are missing ".observed".
// Metadata: "format", "model", "training", "progress", and "crc32", which files of older versions do not have.
#include "cuvae/checkpoint.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cuvae/estimator.h"
#include "io/json_text.h"
#include "io/safetensors.h"
#include "io/text.h"
#include "train/config_json.h"
#include "train/encoder_gradient.h"
#include "train/run_checks.h"

namespace cuvae {
namespace {

using nlohmann::json;

constexpr const char *kFormat = "cuvae 1", *kChecksum = "crc32";

std::vector<Index> tensor_shape(const Parameter& p) {
  return p.vector ? std::vector<Index>{p.cols} : std::vector<Index>{p.rows, p.cols};
}

// Older versions saved the weights of one output as vectors.
const Tensor& require_parameter(const SafetensorsFile& file, const std::string& prefix, const Parameter& p) {
  const Tensor* found = file.find(prefix + p.name);
  const bool as_vector = p.rows == 1 && found != nullptr && found->shape.size() == 1;
  return file.require(prefix + p.name, "F32", as_vector ? std::vector<Index>{p.cols} : tensor_shape(p));
}

// The tensors to write, and host copies of those that are in a device's memory.
class Gather {
 public:
  explicit Gather(Backend& backend) : backend_(backend) {}

  void arena(const std::string& prefix, const ParameterLayout& layout, const Buffer& buffer) {
    if (!buffer) return;
    const float* host = static_cast<const float*>(on_host(buffer));
    for (const Parameter& p : layout.parameters())
      tensors.push_back({prefix + p.name, "F32", tensor_shape(p), host + p.offset,
                         static_cast<std::size_t>(p.size()) * sizeof(float)});
  }
  void whole(const std::string& name, const char* dtype, std::size_t element, const Buffer& buffer) {
    tensors.push_back({name, dtype, {static_cast<Index>(buffer.bytes() / element)}, on_host(buffer), buffer.bytes()});
  }
  void column(const std::string& name, const std::vector<double>& values) {
    tensors.push_back(
        {name, "F64", {static_cast<Index>(values.size())}, values.data(), values.size() * sizeof(double)});
  }
  std::vector<Tensor> tensors;

 private:
  const void* on_host(const Buffer& buffer) {
    if (backend_.reads_host_memory()) return buffer.data();
    copies_.emplace_back(buffer.bytes());
    backend_.download(copies_.back().data(), buffer.data(), buffer.bytes());
    return copies_.back().data();
  }
  Backend& backend_;
  std::vector<std::vector<char>> copies_;
};

json metadata_json(const SafetensorsFile& file, const char* key) {
  const auto it = file.metadata().find(key);
  if (it == file.metadata().end()) throw Error(std::string("the metadata have no '") + key + "'");
  try {
    return parse_json(it->second);
  } catch (const Error& error) {
    throw Error(std::string("the metadata's '") + key + "' " + error.what());
  }
}

// Reads the configuration and checks that the parameters' tensors fit it, so that nothing is allocated for an
// unchecked size.
VaeConfig read_model(const SafetensorsFile& file) {
  const VaeConfig config = vae_config_from_json(metadata_json(file, "model"));
  const ParameterLayout layout = parameter_layout(config);
  for (const Parameter& p : layout.parameters()) require_parameter(file, "", p);
  return config;
}

// Weights must be finite. The optimizer's values need not be: a square may overflow, which stops its parameter.
enum class Values { finite, any };

void check_values(const Tensor& tensor, Values values) {
  if (values == Values::any) return;
  const auto* const numbers = static_cast<const float*>(tensor.data);
  const std::size_t count = tensor.bytes / sizeof(float);
  const auto* const odd = std::find_if(numbers, numbers + count, [](float x) { return !std::isfinite(x); });
  if (odd != numbers + count)
    throw Error("tensor " + in_quotes(tensor.name) + " has the value " + number(static_cast<double>(*odd)) +
                " at index " + std::to_string(odd - numbers));
}

void read_arena(const SafetensorsFile& file, const std::string& prefix, const ParameterLayout& layout, Backend& backend,
                void* device, Values values = Values::finite) {
  for (const Parameter& p : layout.parameters()) {
    const Tensor& t = require_parameter(file, prefix, p);
    check_values(t, values);
    backend.upload(static_cast<float*>(device) + p.offset, t.data, t.bytes);
  }
}

void read_whole(const SafetensorsFile& file, const char* name, const char* dtype, std::size_t element, Backend& backend,
                const Buffer& buffer) {
  const Tensor& t = file.require(name, dtype, {static_cast<Index>(buffer.bytes() / element)});
  backend.upload(buffer.data(), t.data, t.bytes);
}

Standardization read_standardization(const SafetensorsFile& file, Index cols) {
  Standardization s;
  if (file.find("standardization.scale") == nullptr) return s;
  for (auto [name, values] : {std::pair{"standardization.mean", &s.mean},
                              {"standardization.scale", &s.scale},
                              {"standardization.observed", &s.observed}}) {
    if (values == &s.observed && file.find(name) == nullptr) continue;
    const Tensor& t = file.require(name, "F64", {cols});
    values->resize(static_cast<std::size_t>(cols));
    std::memcpy(values->data(), t.data, t.bytes);
  }
  return s;
}

struct Standing {
  Index examples = 0, epochs_without_gain = 0;
  std::uint32_t data_crc32 = 0;
  double best_elbo = 0, best_bound = 0;  // -inf: none
};

Standing read_standing(const SafetensorsFile& file) {
  const json j = metadata_json(file, "progress");
  const auto get = [&](const char* key, auto& value, auto least) {
    if (!j.is_object() || !j.contains(key)) throw Error(std::string("the metadata's 'progress' has no ") + key);
    if (!get_exactly(j[key], value) || value < least) throw Error(std::string(key) + " is " + short_text(j[key]));
  };
  Standing p;
  get("examples", p.examples, 1);
  get("epochs_without_gain", p.epochs_without_gain, 0);
  get("data_crc32", p.data_crc32, 0u);
  constexpr double lowest = -std::numeric_limits<double>::infinity();
  p.best_elbo = lowest;
  if (!j.contains("best_elbo") || !j["best_elbo"].is_null()) get("best_elbo", p.best_elbo, lowest);
  p.best_bound = lowest;
  if (j.contains("best_bound") && !j["best_bound"].is_null()) get("best_bound", p.best_bound, lowest);
  return p;
}

// The checksum of all other metadata and of all tensors, in the order of their names, not of their places in the file.
std::string checksum(const std::map<std::string, std::string>& metadata, const std::vector<Tensor>& tensors) {
  uLong crc = ::crc32_z(0, nullptr, 0);
  const auto take = [&](const void* data, std::size_t bytes) {
    if (bytes > 0) crc = ::crc32_z(crc, static_cast<const Bytef*>(data), bytes);
  };
  for (const auto& [key, text] : metadata)
    if (key != kChecksum) take(key.c_str(), key.size() + 1), take(text.c_str(), text.size() + 1);
  std::map<std::string_view, const Tensor*> by_name;
  for (const Tensor& t : tensors) by_name.emplace(t.name, &t);
  for (const auto& [name, t] : by_name) take(t->name.c_str(), t->name.size() + 1), take(t->data, t->bytes);
  return std::to_string(crc);
}

// Opens a file and returns f(file). Errors name the file.
template <class F>
auto with_checkpoint(const std::filesystem::path& path, F f) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  try {
    const auto& metadata = file.metadata();
    if (const auto it = metadata.find("format"); it == metadata.end() || it->second != kFormat)
      throw Error(std::string("not a cuvae checkpoint: the metadata have no 'format': '") + kFormat + "'");
    if (const auto it = metadata.find(kChecksum); it != metadata.end())
      if (const std::string actual = checksum(metadata, file.tensors()); it->second != actual)
        throw Error("damaged: the CRC-32 of its content is " + actual + " but must be " + in_quotes(it->second));
    return f(file);
  } catch (const Error& e) {
    const std::string text = e.what();
    throw Error(text.starts_with(path.string()) ? text : path.string() + ": " + text);
  }
}

}  // namespace

CheckpointInfo read_checkpoint_info(const std::filesystem::path& path) {
  return with_checkpoint(path, [&](const SafetensorsFile& file) {
    CheckpointInfo info;
    info.model = read_model(file);
    info.parameters = parameter_layout(info.model).count();
    info.averaged = file.find("ema.decoder.0.bias") != nullptr;
    info.training = train_config_from_json(metadata_json(file, "training"));
    const Standing p = read_standing(file);
    total_steps(info.training, count_steps(info.training, p.examples));
    info.examples = p.examples;
    info.data_crc32 = p.data_crc32;
    info.standardization = read_standardization(file, info.model.data_dim);
    const auto or_nan = [](double v) { return std::isfinite(v) ? v : std::numeric_limits<double>::quiet_NaN(); };
    info.best_elbo = or_nan(p.best_elbo), info.best_bound = or_nan(p.best_bound);
    const Tensor& state = file.require("state", "U32", {4});
    std::copy_n(static_cast<const char*>(state.data), sizeof info.state, reinterpret_cast<char*>(&info.state));
    return info;
  });
}

Vae load_vae(Backend& backend, const std::filesystem::path& path) {
  return with_checkpoint(path, [&](const SafetensorsFile& file) {
    Vae vae(backend, read_model(file), 0);
    vae.set_standardization(read_standardization(file, vae.config().data_dim));
    const bool averaged = file.find("ema.decoder.0.bias") != nullptr;
    read_arena(file, averaged ? "ema." : "", vae.layout(), backend, vae.params());
    vae.refresh_weights();
    return vae;
  });
}

void Trainer::save(const std::filesystem::path& path) {
  backend_.synchronize();
  const std::vector<double> moments = all_moments();
  if (group_ != nullptr && group_->rank() != 0) return (void)group_->sum({0.0});  // until the file is written
  const Buffer all = backend_.allocate(moments_.bytes());
  backend_.upload(all.data(), moments.data(), all.bytes());
  Gather gather(backend_);
  gather.arena("", vae_.layout(), vae_.params_buffer());
  gather.arena("optimizer.m.", vae_.layout(), m_);
  gather.arena("optimizer.v.", vae_.layout(), v_);
  gather.arena("ema.", vae_.layout(), ema_);
  gather.whole("state", "U32", 4, state_);
  gather.whole("metrics.sums", "F64", 8, sums_);
  gather.whole("metrics.moments", "F64", 8, all);
  if (const Standardization& s = vae_.standardization()) {
    gather.column("standardization.mean", s.mean);
    gather.column("standardization.scale", s.scale);
    if (!s.observed.empty()) gather.column("standardization.observed", s.observed);
  }
  if (const Buffer& mean = encoder_gradient_->running_mean) gather.whole("running_mean", "F64", 8, mean);
  if (const InputBaseline* b = encoder_gradient_->network.get()) {
    gather.arena("baseline.", b->layout(), b->params);
    gather.arena("baseline.optimizer.m.", b->layout(), b->m);
    gather.arena("baseline.optimizer.v.", b->layout(), b->v);
    gather.whole("baseline.state", "U32", 4, b->state);
    gather.whole("baseline.running", "F64", 8, b->running);
  }
  const bool of_bound = is_importance_weighted(config_.estimator);
  const json best = std::isfinite(best_) ? json(best_) : json();
  json progress = {{"examples", examples_},
                   {"data_crc32", data_crc32_},
                   {"best_elbo", of_bound ? json() : best},
                   {"epochs_without_gain", epochs_without_gain_}};
  if (of_bound) progress["best_bound"] = best;
  std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                 {"model", to_json(vae_.config()).dump()},
                                                 {"training", to_json(config_).dump()},
                                                 {"progress", progress.dump()}};
  metadata[kChecksum] = checksum(metadata, gather.tensors);
  write_safetensors(path, metadata, gather.tensors);
  if (group_ != nullptr) group_->sum({0.0});
}

Trainer Trainer::resume(Backend& backend, const std::filesystem::path& path, Group* group) {
  return with_checkpoint(path, [&](const SafetensorsFile& file) {
    const Standing p = read_standing(file);
    Trainer t(backend, read_model(file), train_config_from_json(metadata_json(file, "training")), p.examples, group);
    t.vae_.set_standardization(read_standardization(file, t.vae_.config().data_dim));
    read_arena(file, "", t.vae_.layout(), backend, t.vae_.params());
    t.vae_.refresh_weights();
    read_arena(file, "optimizer.m.", t.vae_.layout(), backend, t.m_.data(), Values::any);
    if (t.v_) read_arena(file, "optimizer.v.", t.vae_.layout(), backend, t.v_.data(), Values::any);
    if (t.ema_) read_arena(file, "ema.", t.vae_.layout(), backend, t.ema_.data());
    read_whole(file, "state", "U32", 4, backend, t.state_);
    read_whole(file, "metrics.sums", "F64", 8, backend, t.sums_);
    read_whole(file, "metrics.moments", "F64", 8, backend, t.moments_);
    if (t.group_ != nullptr && t.group_->rank() != 0) backend.zero(t.moments_.data(), t.moments_.bytes());
    if (const Buffer& mean = t.encoder_gradient_->running_mean)
      read_whole(file, "running_mean", "F64", 8, backend, mean);
    if (InputBaseline* b = t.encoder_gradient_->network.get()) {
      read_arena(file, "baseline.", b->layout(), backend, b->params.data());
      read_arena(file, "baseline.optimizer.m.", b->layout(), backend, b->m.data(), Values::any);
      read_arena(file, "baseline.optimizer.v.", b->layout(), backend, b->v.data(), Values::any);
      b->refresh_weights();
      read_whole(file, "baseline.state", "U32", 4, backend, b->state);
      read_whole(file, "baseline.running", "F64", 8, backend, b->running);
    }
    t.data_crc32_ = p.data_crc32;
    const bool of_bound = is_importance_weighted(t.config_.estimator);
    t.best_ = of_bound ? p.best_bound : p.best_elbo;
    // Older versions followed the ELBO in a run that trains a bound. The bound then starts anew.
    const bool followed_elbo = of_bound && std::isfinite(p.best_elbo);
    t.epochs_without_gain_ = followed_elbo ? 0 : p.epochs_without_gain;
    return t;
  });
}

}  // namespace cuvae
