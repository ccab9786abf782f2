#include "io/text.h"

#include <algorithm>
#include <charconv>

#include "cuvae/error.h"

namespace cuvae {
namespace {

constexpr std::string_view kUri = "file://", kDigits = "0123456789abcdef";

unsigned byte_at(std::string_view text, std::size_t i) { return static_cast<unsigned char>(text[i]); }

// The number of bytes of the character at `i`, or 0 if it is not UTF-8. Overlong forms, surrogates and characters
// beyond U+10FFFF are not UTF-8.
std::size_t utf8_bytes(std::string_view text, std::size_t i) {
  const unsigned first = byte_at(text, i);
  if (first < 0x80) return 1;
  const std::size_t bytes = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (bytes == 0 || text.size() - i < bytes) return 0;
  for (std::size_t k = 1; k < bytes; ++k)
    if ((byte_at(text, i + k) & 0xc0) != 0x80) return 0;
  const unsigned second = byte_at(text, i + 1);
  const bool allowed = (first != 0xe0 || second >= 0xa0) && (first != 0xed || second < 0xa0) &&
                       (first != 0xf0 || second >= 0x90) && (first != 0xf4 || second < 0x90);
  return allowed ? bytes : 0;
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0, bytes; i < text.size(); i += bytes)
    if ((bytes = utf8_bytes(text, i)) == 0) return false;
  return true;
}

// Whether the character is a control character (C0, delete or C1). Terminals interpret these as commands.
bool is_control(std::string_view character) {
  const unsigned first = byte_at(character, 0);
  return first < 0x20 || first == 0x7f || (first == 0xc2 && byte_at(character, 1) < 0xa0);
}

std::string hexadecimal(const char* before, unsigned byte) {
  return before + std::string{kDigits[byte >> 4], kDigits[byte & 15]};
}

std::string escaped(std::string_view bytes) {
  if (bytes == "\n") return "\\n";
  if (bytes == "\t") return "\\t";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) text += hexadecimal("\\x", byte_at(bytes, i));
  return text;
}

bool is_among(char c, std::string_view others) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || others.find(c) != others.npos;
}

}  // namespace

std::string one_of(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : &name == &names.back() ? " or " : ", ") + name;
  return all;
}

std::string printable(std::string_view text) {
  std::string shown;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t valid = utf8_bytes(text, i);
    const std::string_view character = text.substr(i, valid == 0 ? 1 : valid);
    shown += valid == 0 || is_control(character) ? escaped(character) : std::string(character);
    i += character.size();
  }
  return shown;
}

std::string shell_word(std::string_view path) {
  const std::string text = (path.starts_with('-') ? "./" : "") + std::string(path);
  bool plain = !text.empty();
  for (const char c : text) plain = plain && is_among(c, "_-./:,+@%=");
  if (plain) return text;
  if (printable(text) == text) {
    std::string quoted = "'";
    for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    return quoted + "'";
  }
  std::string quoted = "$'";  // in POSIX since 2024; in bash, zsh and ksh before that
  for (const char c : text) {
    if (is_among(c, "_-./:,+@%= ")) {
      quoted += c;
    } else {
      char octal[8];
      std::snprintf(octal, sizeof octal, "\\%03o", static_cast<unsigned>(static_cast<unsigned char>(c)));
      quoted += octal;
    }
  }
  return quoted + "'";
}

std::string path_to_json(const std::filesystem::path& path) {
  if (is_utf8(path.native())) return path.string();
  std::string uri(kUri);
  const std::string absolute = std::filesystem::absolute(path);
  for (const char c : absolute) uri += is_among(c, "-._~/") ? std::string(1, c) : hexadecimal("%", byte_at({&c, 1}, 0));
  return uri;
}

std::string path_from_json(const std::string& text) {
  if (!text.starts_with(kUri)) return text;
  std::string path;
  for (std::size_t i = kUri.size(); i < text.size(); ++i) {
    if (text[i] != '%') {
      path += text[i];
      continue;
    }
    unsigned byte = 0;
    const char *const digits = text.data() + i + 1, *const end = text.data() + std::min(text.size(), i + 3);
    if (std::from_chars(digits, end, byte, 16).ptr != digits + 2 || byte == 0)
      throw Error("'" + text + "' is not a file URI: two hexadecimal digits must follow each %");
    path += static_cast<char>(byte);
    i += 2;
  }
  return path;
}

}  // namespace cuvae
