// JSON: parsed and read as configurations of a checkpoint. What is accepted is written and read again.
#include <string_view>

#include "cuvae/error.h"
#include "fuzz.h"
#include "io/json_text.h"
#include "train/config_json.h"

namespace {

template <class Read>
void read_as(const nlohmann::json& json, Read read) {
  try {
    const auto config = read(json);
    if (cuvae::to_json(read(cuvae::to_json(config))) != cuvae::to_json(config)) __builtin_trap();
  } catch (const cuvae::Error&) {  // most texts are not a configuration
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cuvae;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  fuzz::run([&] {
    const nlohmann::json json = parse_json(text);
    if (parse_json(json.dump()) != json) __builtin_trap();
    read_as(json, [](const auto& j) { return vae_config_from_json(j); });
    read_as(json, [](const auto& j) { return train_config_from_json(j); });
  });
  return 0;
}
