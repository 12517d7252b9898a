# Writes OUT: the texts of DIR/*.graphqls as C++ raw strings, so that the program depends on no path. Run by core/session/CMakeLists.txt.
set(text "#include \"core/session/schema/schema.h\"\n\nnamespace dagger::session {\n\nstd::vector<std::string> schema_texts() {\n  return {\n")
file(GLOB files ${DIR}/*.graphqls)
foreach(file IN LISTS files)
  file(READ ${file} sdl)
  string(APPEND text "R\"__sdl(${sdl})__sdl\",\n")
endforeach()
string(APPEND text "  };\n}\n\n}  // namespace dagger::session\n")
file(WRITE ${OUT} "${text}")
