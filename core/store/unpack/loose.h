// core/store/unpack/loose.h — marks on directories of a layer whose look depends on the layers below it.
//
// Layers are unpacked without knowing what they will lie on, but a tar may leave to the layers below what a directory
// looks like: it has entries in a directory, and none for the directory itself. And whiteouts are shown as files in a
// directory that nothing is below. Unpacking marks such directories and the way to them; mend() does what is to be done
// once the stack is known. The marks are extended attributes with overlay's prefix, which overlay neither shows nor
// copies up. Pure.
#pragma once
#include <string>
#include <string_view>

namespace dagger::store {

constexpr const char* loose_mark = "loose";  // behind the prefix of the layer's form

struct Loose {
  bool implied = false, whiteouts = false;              // the directory itself
  bool implied_below = false, whiteouts_below = false;  // some directory in it

  bool any() const noexcept { return implied || whiteouts || implied_below || whiteouts_below; }
  std::string str() const {
    return std::string(implied ? "i" : "") + (whiteouts ? "w" : "") + (implied_below ? "I" : "") +
           (whiteouts_below ? "W" : "");
  }
  static Loose parse(std::string_view text) {
    const auto has = [text](char c) { return text.find(c) != std::string_view::npos; };
    return {has('i'), has('w'), has('I'), has('W')};
  }
};

}  // namespace dagger::store
