//! Manifests, settings, files and signatures as authors and operators meet them.

#[cfg(test)]
mod files;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod support;
