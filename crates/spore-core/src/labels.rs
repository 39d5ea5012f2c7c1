//! Labels as members share them: text lines `key=value`, sorted by key, so that equal sets are equal texts.

use crate::limits;
use heapless::String;
use spore_wire::Labels;

/// The text form; labels that do not fit are left out, each as a whole.
pub(crate) fn encode(labels: &Labels) -> String<{ limits::LABEL_SET }> {
    let mut text = String::new();
    let mut last = "";
    // At most eight labels, so looking for the next key again and again is cheap.
    while let Some((key, value)) = labels.iter().filter(|(key, _)| *key > last).min() {
        last = key;
        let length = [key.len(), value.len(), 2].into_iter().fold(text.len(), usize::saturating_add);
        if length <= text.capacity() {
            for part in [key, "=", value, "\n"] {
                // The length was just checked.
                let _ = text.push_str(part);
            }
        }
    }
    text
}

/// The labels of a text form.
pub(crate) fn iter(text: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    text.lines().filter_map(|line| line.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_fits_comes_back_sorted(pairs in prop::collection::btree_map("[a-z]{1,16}", "[a-z= ]{0,24}", 0..9)) {
            let mut labels = Labels::new();
            for (key, value) in pairs.iter().rev() {
                labels.set(key, value).unwrap();
            }
            let text = encode(&labels);
            let mut expected: Vec<_> = Vec::new();
            let mut room = limits::LABEL_SET;
            for (key, value) in &pairs {
                let cost = key.len() + value.len() + 2;
                if cost <= room {
                    room -= cost;
                    expected.push((key.as_str(), value.as_str()));
                }
            }
            prop_assert_eq!(iter(&text).collect::<Vec<_>>(), expected);
        }
    }
}
