//! Two streams joined in memory, under random operations.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::pair_model::{Habit, Model, Operation};

fn habit() -> impl Strategy<Value = Habit> {
    prop_oneof![
        3 => Just(Habit::Listen),
        2 => Just(Habit::Answer),
        1 => Just(Habit::Pause),
        2 => Just(Habit::KeepOpen),
        2 => Just(Habit::Pour),
        1 => Just(Habit::Close),
        1 => Just(Habit::Abort),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let side = any::<bool>;
    // Little, about a chunk that goes straight to the system (16 KiB), and about what the link holds (64 KiB).
    let count = || prop_oneof![4 => 0..50_u16, 2 => 16_000..17_000_u16, 1 => any::<u16>()];
    let small = || prop_oneof![1 => Just(0), 4 => 1..20_u16, 2 => 1000..60_000_u16];
    let write = (side(), count());
    let lines = (side(), any::<[u8; 3]>());
    let limits = (side(), small(), small());
    prop_oneof![
        8 => write.clone().prop_map(|(side, count)| Operation::Write { side, count }),
        3 => write.prop_map(|(side, count)| Operation::WriteBytes { side, count }),
        2 => lines.prop_map(|(side, counts)| Operation::WriteLines { side, counts }),
        1 => side().prop_map(|side| Operation::WriteEof { side }),
        1 => side().prop_map(|side| Operation::Close { side }),
        1 => side().prop_map(|side| Operation::Abort { side }),
        2 => side().prop_map(|side| Operation::PauseReading { side }),
        3 => side().prop_map(|side| Operation::ResumeReading { side }),
        2 => limits.prop_map(|(side, high, low)| Operation::SetLimits { side, high, low }),
        3 => (side(), habit()).prop_map(|(side, habit)| Operation::Habit { side, habit }),
        10 => Just(Operation::Turn),
        4 => Just(Operation::Run),
        2 => small().prop_map(Operation::LimitReads),
        2 => small().prop_map(Operation::LimitWrites),
        2 => small().prop_map(Operation::Capacity),
        1 => Just(Operation::Reset),
        1 => any::<u8>().prop_map(Operation::Advance),
    ]
}

proptest! {
    #![proptest_config(crate::cases(300))]

    #[test]
    fn what_is_delivered_is_what_was_written(operations in vec(operation(), 1..60)) {
        let mut model = Model::default();
        for operation in operations {
            model.apply(operation);
        }
        model.finish();
    }
}
