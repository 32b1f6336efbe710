using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent.Tests;

public sealed class ScrollbackRingTests
{
    private const int Capacity = 3 * RingChunk.Size;

    private static int Cases => int.TryParse(Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES"), out int count) && count > 0 ? count / 20 : 1_000;

    [Fact]
    public void Ring_AnyWritersAndReaders_LosesDoublesAndInventsNothing() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(Cases).WithEndSize(150),
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ArrayOf().ToArbitrary(), Holds));

    [Fact]
    public void Ring_OneChannel_KeepsAtLeastItsCapacity()
    {
        var memory = new RingMemory(100);
        var ring = new ScrollbackRing(memory, Capacity);
        for (int i = 0; i < 100; i++)
        {
            Write(ring, DataChannel.StandardOutput, 20_000, long.MaxValue);
            Assert.True(ring.End - ring.First >= Math.Min(ring.End, Capacity - 16), $"{ring.End - ring.First}");
            Assert.True(ring.End - ring.First <= Capacity + RingChunk.Size);
        }

        ring.Free();
        memory.Close();
    }

    [Fact]
    public void Ring_MemoryIsUsedUp_GoesOnWithWhatIsGuaranteed()
    {
        var memory = new RingMemory(1);
        var first = new ScrollbackRing(memory, Capacity);
        var second = new ScrollbackRing(memory, Capacity);
        Write(first, DataChannel.StandardOutput, 500_000, long.MaxValue);
        Write(second, DataChannel.StandardOutput, 500_000, long.MaxValue);

        Assert.InRange(first.End - first.First, 2 * (RingChunk.Size - 100), 3 * RingChunk.Size);
        Assert.InRange(second.End - second.First, RingChunk.Size - 100, 2 * RingChunk.Size);

        first.Free();
        Write(second, DataChannel.StandardOutput, 500_000, long.MaxValue);
        Assert.InRange(second.End - second.First, 2 * (RingChunk.Size - 100), 3 * RingChunk.Size);
        second.Free();
        Assert.True(memory.MayTake(10));
        memory.Close();
    }

    [Fact]
    public void Ring_HeldBack_IsFullUntilTheHolderMoves()
    {
        var memory = new RingMemory(100);
        var ring = new ScrollbackRing(memory, Capacity);
        long written = Write(ring, DataChannel.StandardOutput, 1_000_000, hold: 0);

        Assert.InRange(written, Capacity, Capacity + RingChunk.Size);
        Assert.Equal(0, ring.First);
        Assert.True(ring.Reserve(DataChannel.StandardOutput, 0).IsEmpty);
        Assert.False(ring.HasRoom(RingChunk.Size - 5));
        Assert.True(ring.HasRoom(RingChunk.Size));
        ring.Free();
        memory.Close();
    }

    private static byte ByteAt(long sequence) => (byte)((sequence * 167) ^ (sequence >> 8));

    /// <summary>Writes bytes that tell their place, as far as there is room.</summary>
    private static long Write(ScrollbackRing ring, DataChannel channel, int count, long hold, List<DataChannel>? channels = null)
    {
        int left = count;
        while (left > 0)
        {
            Span<byte> room = ring.Reserve(channel, hold);
            if (room.IsEmpty)
            {
                break;
            }

            int part = Math.Min(left, room.Length);
            for (int i = 0; i < part; i++)
            {
                room[i] = ByteAt(ring.End + i);
                channels?.Add(channel);
            }

            ring.Commit(part);
            left -= part;
        }

        return count - left;
    }

    private static bool Holds(int[] steps)
    {
        var memory = new RingMemory(sharedChunks: 2);
        var ring = new ScrollbackRing(memory, Capacity);
        var channels = new List<DataChannel>();
        var readers = new List<(RingCursor Cursor, bool Lossless)>();
        foreach (int step in steps)
        {
            long hold = readers.Where(static r => r.Lossless).Select(static r => r.Cursor.Sequence).DefaultIfEmpty(long.MaxValue).Min();
            int number = step / 8;
            switch (step % 8)
            {
                case 0 or 1 or 2:
                    bool room = ring.HasRoom(hold);
                    long written = Write(ring, number % 2 == 0 ? DataChannel.StandardOutput : DataChannel.StandardError, 1 + (number % 50_000), hold, channels);
                    if ((room && written == 0) || ring.First > hold)
                    {
                        return false;
                    }

                    break;
                case 3:
                    for (int i = 0; i < 300 && Write(ring, (DataChannel)(1 + (i % 2)), 1, hold, channels) == 1; i++)
                    {
                    }

                    break;
                case 4:
                    long from = ring.First + (number % (ring.End - ring.First + 1));
                    readers.Add((new RingCursor(from), number % 3 == 0));
                    break;
                case 5 when readers.Count > 0:
                    readers.RemoveAt(number % readers.Count);
                    break;
                case 6 or 7 when readers.Count > 0:
                    if (!Read(ring, readers[number % readers.Count], number % 60_000, channels))
                    {
                        return false;
                    }

                    break;
            }
        }

        bool right = channels.Count == ring.End && readers.All(reader => Read(ring, reader, int.MaxValue, channels) && reader.Cursor.Sequence == ring.End);
        ring.Free();
        memory.Close();
        return right;
    }

    private static bool Read(ScrollbackRing ring, (RingCursor Cursor, bool Lossless) reader, int atMost, List<DataChannel> channels)
    {
        RingCursor cursor = reader.Cursor;
        if (cursor.Sequence < ring.First)
        {
            if (reader.Lossless)
            {
                return false;
            }

            cursor.Sequence = ring.First;
        }

        while (atMost > 0)
        {
            ReadOnlySpan<byte> bytes = ring.Peek(cursor, out DataChannel channel);
            if (bytes.IsEmpty)
            {
                return cursor.Sequence == ring.End;
            }

            int count = Math.Min(bytes.Length, atMost);
            for (int i = 0; i < count; i++)
            {
                if (bytes[i] != ByteAt(cursor.Sequence + i) || channels[(int)cursor.Sequence + i] != channel)
                {
                    return false;
                }
            }

            ScrollbackRing.Advance(cursor, count);
            atMost -= count;
        }

        return true;
    }
}
