using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.Agent.Tests;

public sealed class INotifyEventsTests
{
    [Fact]
    public void Next_TwoEvents_GivesBothAndEnds()
    {
        byte[] bytes =
        [
            7, 0, 0, 0, 0, 1, 0, 0, 9, 0, 0, 0, 4, 0, 0, 0, (byte)'a', (byte)'b', 0, 0,
            255, 255, 255, 255, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        var events = new INotifyEvents(bytes);

        Assert.True(events.Next());
        Assert.Equal((7, Linux.IN_CREATE, 9u, "ab"), (events.Watch, events.Mask, events.Cookie, events.Name));
        Assert.True(events.Next());
        Assert.Equal((-1, Linux.IN_Q_OVERFLOW, ""), (events.Watch, events.Mask, events.Name));
        Assert.False(events.Next());
    }

    [Fact]
    public void Next_AnyBytes_Ends() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(5_000),
        Prop.ForAll(
            Gen.Choose(0, 255).Select(static value => (byte)value).ArrayOf().ToArbitrary(),
            bytes =>
            {
                int count = 0;
                var events = new INotifyEvents(bytes);
                while (events.Next())
                {
                    count++;
                }

                return count <= bytes.Length / 16;
            }));
}
