// Pieces of PTX's text.
#pragma once
#include <string>
#include <vector>

namespace ptx {

/// Without white space at its ends; without any.
std::string trimmed(const std::string& text);
std::string without_space(const std::string& text);
/// The trimmed parts between separators that no brace or bracket encloses.
std::vector<std::string> split(const std::string& text, char separator);
std::vector<std::string> words(const std::string& text);
/// A kernel's name for people: without its arguments and the namespaces that are the same for all.
std::string readable(const std::string& mangled);

}  // namespace ptx
