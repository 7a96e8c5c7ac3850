//! The state of a stream under random operations.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::state_model::{Model, Operation};

fn operation() -> impl Strategy<Value = Operation> {
    // Sizes about the marks of the model, which are 100, 25 and 1000.
    let size = || prop_oneof![3 => 0..30_u16, 3 => 90..120_u16, 1 => 0..2000_u16];
    let limits = (size(), size(), size());
    prop_oneof![
        8 => size().prop_map(Operation::Write),
        1 => Just(Operation::WriteEof),
        1 => Just(Operation::Close),
        1 => Just(Operation::Abort),
        3 => Just(Operation::PauseReading),
        3 => Just(Operation::ResumeReading),
        2 => limits.prop_map(|(high, low, max)| Operation::SetLimits { high, low, max }),
        1 => Just(Operation::SwitchProtocol),
        8 => prop_oneof![Just(255), any::<u8>()].prop_map(Operation::Send),
        3 => Just(Operation::Block),
        3 => Just(Operation::Unblock),
        1 => Just(Operation::BeginOutflow),
        2 => Just(Operation::EndOutflow),
        1 => Just(Operation::ReadEof),
        8 => any::<bool>().prop_map(|keep_open| Operation::Tell { keep_open }),
        4 => any::<bool>().prop_map(|keep_open| Operation::Settle { keep_open }),
    ]
}

proptest! {
    #![proptest_config(crate::cases(500))]

    #[test]
    fn a_stream_keeps_its_promises_whatever_is_done_to_it(
        operations in vec(operation(), 1..80),
    ) {
        let mut model = Model::default();
        for operation in operations {
            model.apply(operation);
        }
        model.finish();
    }
}
