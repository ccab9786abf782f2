#include "estimators/models.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>

#include "text.h"

namespace cuvae::bench {
namespace {

constexpr Index kMid = 500, kEnd = 10000;  // steps of batch 128

Index steps_of(const Context& c, const std::string& stage) {
  return stage == "init" ? 0 : stage == "mid" ? (c.options.quick ? 50 : kMid) : (c.options.quick ? 200 : kEnd);
}

}  // namespace

std::string Point::name() const {
  return stage + "/layers=" + std::to_string(layers) + "/latent=" + std::to_string(latent) +
         "/K=" + std::to_string(samples) + "/batch=" + std::to_string(batch);
}

Json Point::json() const {
  return {{"stage", stage}, {"layers", layers}, {"latent", latent}, {"samples", samples}, {"batch", batch}};
}

VaeConfig model_for(const Dataset& data, Index layers, Index width, Index latent) {
  VaeConfig model;
  model.data_dim = data.cols();
  model.image_height = data.image_height(), model.image_width = data.image_width();
  model.latent = latent;
  model.encoder_hidden.assign(static_cast<std::size_t>(layers), width);
  model.decoder_hidden = model.encoder_hidden;
  return model;
}

Feed::Feed(Backend& backend, const Dataset& data, Index batch, std::uint64_t seed)
    : backend_(backend), rows_(data.rows()), cols_(data.cols()), batch_(batch), type_(data.dtype()), seed_(seed) {
  if (batch > rows_)
    throw Error(data.name() + ": has " + std::to_string(rows_) + " examples, fewer than a batch of " +
                std::to_string(batch));
  data_ = backend.allocate(static_cast<std::size_t>(rows_ * cols_) * size_of(type_));
  backend.upload(data_.data(), data.data(), data_.bytes());
  order_ = backend.allocate(static_cast<std::size_t>(rows_) * sizeof(std::uint32_t));
  x_ = backend.allocate(static_cast<std::size_t>(batch * cols_) * size_of(backend.activation_type()));
  device_step_ = backend.allocate(sizeof step_);
}

// A multiplicative step through the rows, other for each epoch and seed: close enough to a shuffle for mixing batches.
ConstView Feed::next() {
  const Index steps = rows_ / batch_;
  if (step_ % static_cast<std::uint32_t>(steps) == 0) {
    std::vector<std::uint32_t> order(static_cast<std::size_t>(rows_));
    std::iota(order.begin(), order.end(), 0u);
    std::uint64_t state = seed_ * 0x9e3779b97f4a7c15u + step_ + 1;
    for (std::size_t i = order.size() - 1; i > 0; --i) {  // Fisher and Yates, with xorshift's numbers
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      std::swap(order[i], order[state % (i + 1)]);
    }
    backend_.upload(order_.data(), order.data(), order_.bytes());
  }
  backend_.upload(device_step_.data(), &step_, sizeof step_);
  const View x = x_.view(batch_, cols_, backend_.activation_type());
  const auto* step = device_step_.as<std::uint32_t>();
  backend_.gather_batch({data_.data(), rows_, cols_, type_}, {order_.as<std::uint32_t>(), rows_, step},
                        Binarize::stochastic, {seed_, Stream::binarize, step}, x);
  ++step_;
  return x;
}

double measure_row_seconds(Context& c) {
  TrainConfig config;
  config.binarize = Binarize::none;
  Trainer trainer(c.backend, model_for(*c.train, 1, c.width(), 20), config, c.train->rows());
  const Buffer x = c.backend.allocate(static_cast<std::size_t>(config.batch * c.train->cols()) *
                                      size_of(c.backend.activation_type()));
  double best = 1e30;
  for (int i = 0; i < 10; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    trainer.gradient(x.view(config.batch, c.train->cols(), c.backend.activation_type()));
    c.backend.synchronize();
    if (i > 0) best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best / static_cast<double>(2 * config.batch);
}

void Models::train(const Point& point, const std::filesystem::path& path) {
  Context& c = context_;
  TrainConfig config;
  config.seed = c.seed(3);
  config.binarize = Binarize::none;  // the feed has done it
  Trainer trainer(c.backend, model_for(*c.train, point.layers, c.width(), point.latent), config, c.train->rows());
  Feed feed(c.backend, *c.train, config.batch, config.seed);
  const Index steps = steps_of(c, point.stage);
  std::printf("training %s for %d steps\n", path.filename().c_str(), static_cast<int>(steps));
  for (Index i = 0; i < steps; ++i) trainer.step(feed.next());
  std::filesystem::create_directories(path.parent_path());
  trainer.save(path);
}

const Model& Models::at(const Point& point) {
  const std::string key = point.stage + "-" + std::to_string(point.layers) + "x" + std::to_string(context_.width()) +
                          "-" + std::to_string(point.latent);
  if (key == key_) return model_;
  std::filesystem::path path = context_.options.checkpoint;
  if (point.stage != "checkpoint") {
    path = context_.folder / "models" / (key + ".safetensors");
    if (!std::filesystem::exists(path)) train(point, path);
  }
  const Vae vae = load_vae(context_.backend, path);
  if (vae.config().data_dim != context_.train->cols())
    throw Error(path.string() + ": the model takes " + std::to_string(vae.config().data_dim) + " values but " +
                context_.train->name() + " has examples of " + std::to_string(context_.train->cols()));
  model_.config = vae.config();
  model_.params.resize(static_cast<std::size_t>(vae.layout().size()));
  context_.backend.download(model_.params.data(), vae.params(), model_.params.size() * sizeof(float));
  key_ = key;
  return model_;
}

std::unique_ptr<Trainer> Models::trainer(const Point& point, const Variant& variant, std::uint64_t seed) {
  const Model& model = at(point);
  TrainConfig config;
  config.seed = seed;
  config.batch = point.batch, config.samples = point.samples;
  choose(config, variant);
  config.binarize = Binarize::none;
  auto trainer = std::make_unique<Trainer>(context_.backend, model.config, config, context_.train->rows());
  context_.backend.upload(trainer->vae().params(), model.params.data(), model.params.size() * sizeof(float));
  trainer->vae().refresh_weights();
  return trainer;
}

// The first rows of the training data in a fixed order, binarized once.
ConstView Models::batch(Index rows) {
  const DType type = context_.backend.activation_type();
  if (x_ && rows == x_rows_) return x_.view(rows, context_.train->cols(), type);
  Feed feed(context_.backend, *context_.train, rows, context_.seed(4));
  const ConstView x = feed.next();
  x_ = context_.backend.allocate(static_cast<std::size_t>(x.size()) * size_of(x.dtype));
  std::vector<char> host(x_.bytes());
  context_.backend.download(host.data(), x.data, host.size());
  context_.backend.upload(x_.data(), host.data(), host.size());
  x_rows_ = rows;
  return x_.view(rows, x.cols, type);
}

}  // namespace cuvae::bench
