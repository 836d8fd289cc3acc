// Files of the source tree inside the executable.
#pragma once

#include <cstddef>
#include <string_view>

// Defines handgrad::app::embedded_NAME(), the contents of the file at `path`. The assembler includes a file
// in no time, where the compiler would take seconds for a literal of its size. Use it outside of all
// namespaces, and name the file among the OBJECT_DEPENDS of the source.
#define HANDGRAD_EMBED(name, path)                                                               \
  asm(".pushsection .rodata\n.global handgrad_" #name ", handgrad_" #name                        \
      "_end\n"                                                                                   \
      "handgrad_" #name ":\n.incbin \"" path "\"\nhandgrad_" #name                               \
      "_end:\n"                                                                                  \
      ".popsection\n");                                                                          \
  extern "C" const char handgrad_##name[];                                                       \
  extern "C" const char handgrad_##name##_end[];                                                 \
  namespace handgrad::app {                                                                      \
  inline std::string_view embedded_##name() {                                                    \
    return {handgrad_##name, static_cast<std::size_t>(handgrad_##name##_end - handgrad_##name)}; \
  }                                                                                              \
  }                                                                                              \
  static_assert(true)
