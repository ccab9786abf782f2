#include "io/image.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "cuvae/error.h"
#include "io/atomic_file.h"
#include "io/input_file.h"

namespace {

// Without this, an assertion in stb's writer would end the program.
void* or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// The functions are static, so that a program that links cuvae can have its own copy of stb.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wold-style-cast"  // in the macros below
#define STBI_MAX_DIMENSIONS 16384
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STBI_WRITE_NO_STDIO
#define STBIW_MALLOC(bytes) or_throw(std::malloc(bytes))
#define STBIW_REALLOC(memory, bytes) or_throw(std::realloc(memory, bytes))
#define STBIW_FREE(memory) std::free(memory)
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace cuvae {
namespace {

constexpr Index max_side = kLongestImageSide;
static_assert(max_side == STBI_MAX_DIMENSIONS);
constexpr std::size_t max_png_bytes = std::size_t{1} << 30;
constexpr std::uint8_t background = 64;  // dark gray: differs from black and from white pictures

Index checked_side(const char* name, Index value, Index smallest) {
  if (value >= smallest && value <= max_side) return value;
  throw Error("image_grid: " + std::string(name) + " is " + std::to_string(value) + " but must be within [" +
              std::to_string(smallest) + ", " + std::to_string(max_side) + "]");
}

std::uint8_t shade(float value, const PictureLayout& layout) {
  const float part = (value - layout.black) / (layout.white - layout.black);
  const float clamped = part > 0 ? std::min(part, 1.0F) : 0.0F;  // NaN > 0 is false
  return static_cast<std::uint8_t>(clamped * 255.0F + 0.5F);
}

// The chunk tEXt of the PNG format: length, type, keyword, 0, text, CRC of everything except the length.
std::string text_chunk(const std::string& text) {
  const auto big_endian = [](std::size_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
    return bytes;
  };
  const std::string content = std::string("tEXtDescription") + '\0' + text;
  const auto* const bytes = reinterpret_cast<const Bytef*>(content.data());
  return big_endian(content.size() - 4) + content + big_endian(::crc32_z(0, bytes, content.size()));
}

}  // namespace

Image image_grid(const float* values, Index count, const PictureLayout& layout, Index columns, Index padding,
                 Index scale) {
  const auto& [height, width, channels, channels_first, black, white] = layout;
  columns = std::min(checked_side("columns", columns, 1), checked_side("count", count, 1));
  const Index rows = (count + columns - 1) / columns;
  const Index cell_height = checked_side("height", height, 1) + checked_side("padding", padding, 0);
  const Index cell_width = checked_side("width", width, 1) + padding;
  checked_side("scale", scale, 1);
  const Index grid_height = checked_side("the height of the grid", (rows * cell_height + padding) * scale, 1);
  const Index grid_width = checked_side("the width of the grid", (columns * cell_width + padding) * scale, 1);
  if (channels != 1 && channels != 3)
    throw Error("image_grid: channels is " + std::to_string(channels) + " but must be 1 or 3");

  Image grid{static_cast<int>(grid_width), static_cast<int>(grid_height), {}, static_cast<int>(channels)};
  grid.pixels.assign(static_cast<std::size_t>(grid_height * grid_width * channels), background);
  const Index pixel_step = channels_first ? 1 : channels, channel_step = channels_first ? height * width : 1;
  for (Index picture = 0; picture < count; ++picture) {
    const float* source = values + picture * height * width * channels;
    const Index top = (picture / columns * cell_height + padding) * scale;
    const Index left = (picture % columns * cell_width + padding) * scale;
    for (Index y = 0; y < height * scale; ++y) {
      std::uint8_t* out = grid.pixels.data() + ((top + y) * grid_width + left) * channels;
      for (Index x = 0; x < width * scale; ++x)
        for (Index c = 0; c < channels; ++c)
          *out++ = shade(source[(y / scale * width + x / scale) * pixel_step + c * channel_step], layout);
    }
  }
  return grid;
}

void write_png(const std::filesystem::path& path, const Image& image) {
  const Index size = Index{image.width} * image.height * image.channels;
  if ((image.channels != 1 && image.channels != 3) || image.width < 1 || image.height < 1 || image.width > max_side ||
      image.height > max_side || !std::cmp_equal(size, image.pixels.size())) {
    throw Error(path.string() + ": cannot write: picture is " + std::to_string(image.width) + " x " +
                std::to_string(image.height) + " but has " + std::to_string(image.pixels.size()) + " values in " +
                std::to_string(image.channels) + (image.channels == 1 ? " channel" : " channels"));
  }
  write_file_atomically(path, [&](std::ostream& out) {
    std::string file;
    const auto append = [](void* to, void* data, int bytes) {
      static_cast<std::string*>(to)->append(static_cast<const char*>(data), static_cast<std::size_t>(bytes));
    };
    if (!stbi_write_png_to_func(append, &file, image.width, image.height, image.channels, image.pixels.data(),
                                image.width * image.channels)) {
      throw Error(path.string() + ": cannot write: out of memory for the PNG encoder");
    }
    constexpr std::size_t header = 8 + 25;  // the signature and IHDR, which must come before other chunks
    if (!image.description.empty()) file.insert(header, text_chunk(image.description));
    out << file;
  });
}

Image read_png(const std::filesystem::path& path) {
  const std::string file = read_file(path, max_png_bytes);
  const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
  Image image;
  int channels = 0;
  if (stbi_info_from_memory(bytes, static_cast<int>(file.size()), &image.width, &image.height, &channels) != 0)
    image.channels = channels >= 3 ? 3 : 1;
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(bytes, static_cast<int>(file.size()), &image.width, &image.height, &channels,
                            image.channels),
      stbi_image_free);
  if (!pixels) throw Error(path.string() + ": cannot decode as PNG: " + stbi_failure_reason());
  image.pixels.assign(pixels.get(), pixels.get() + Index{image.width} * image.height * image.channels);
  return image;
}

}  // namespace cuvae
