//! The limit of open files and sockets of the process.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Raises the limit to `wanted` if the system allows it. Returns the resulting limit. Never lowers it.
///
/// # Errors
/// The current limit cannot be read.
pub fn ask_for(wanted: usize) -> std::io::Result<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let allowed = rlim_t::try_from(wanted).unwrap_or(rlim_t::MAX).clamp(soft, hard.max(soft));
    // Some systems allow less than their stated maximum.
    let is_raised = allowed > soft && setrlimit(Resource::RLIMIT_NOFILE, allowed, hard).is_ok();
    Ok(usize::try_from(if is_raised { allowed } else { soft }).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_the_system_lets_it_and_never_lowered() {
        let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let count = |limit: rlim_t| usize::try_from(limit).unwrap();
        assert_eq!(ask_for(1).unwrap(), count(before));
        let more = before.saturating_add(1).min(hard);
        assert_eq!(ask_for(count(more)).unwrap(), count(more));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (more, hard));
        assert!((count(more)..=count(hard)).contains(&ask_for(usize::MAX).unwrap()), "no more than there is");
    }
}
