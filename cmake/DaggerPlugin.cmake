# How a plugin is linked; installed with the CMake package, so that third parties build exactly like this project.
#   dagger_add_plugin(<kind>-<name> <source>...)  builds <kind>-<name>.so
set(_DAGGER_PLUGIN_DIR ${CMAKE_CURRENT_LIST_DIR})

function(dagger_plugin_properties name)
  set_target_properties(${name} PROPERTIES
    PREFIX "" SKIP_BUILD_RPATH ON INSTALL_RPATH "" CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LINK_DEPENDS ${_DAGGER_PLUGIN_DIR}/plugin.map)
  target_link_options(${name} PRIVATE
    LINKER:-z,now LINKER:-z,relro LINKER:-z,nodelete
    LINKER:--exclude-libs,ALL LINKER:--version-script=${_DAGGER_PLUGIN_DIR}/plugin.map)
  if(NOT DAGGER_SANITIZE) # a sanitized plugin takes the runtime's symbols from the program
    target_link_options(${name} PRIVATE LINKER:--no-undefined)
  endif()
endfunction()

function(dagger_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE dagger::plugin-api)
  dagger_plugin_properties(${name})
endfunction()
