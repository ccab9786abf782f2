// A checkpoint: read as info, as a model, and as a run to resume.
#include "cuvae/checkpoint.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cuvae;
  static const fuzz::MemoryFile file("model.safetensors");
  static const std::unique_ptr<Backend> backend = make_backend("cpu", 1);
  file.write(data, size);
  fuzz::run([] {
    const CheckpointInfo info = read_checkpoint_info(file.path());
    const Vae vae = load_vae(*backend, file.path());
    // The file alone does not limit the batch; the number of examples does, here 64.
    if (info.examples > 64 || info.training.samples > 64) return;
    Trainer trainer = Trainer::resume(*backend, file.path());
    trainer.state();
  });
  return 0;
}
