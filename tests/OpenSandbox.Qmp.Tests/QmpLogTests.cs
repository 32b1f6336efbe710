using System.Reflection;
using Microsoft.Extensions.Logging;

namespace OpenSandbox.Qmp.Tests;

/// <summary>The log's house rules.</summary>
public sealed class QmpLogTests
{
    [Fact]
    public void Messages_EventIds_AreUniqueInRangeAndDebugOnly()
    {
        LoggerMessageAttribute[] messages =
        [
            .. typeof(QmpLog).GetMethods(BindingFlags.Static | BindingFlags.NonPublic)
                .Select(method => method.GetCustomAttribute<LoggerMessageAttribute>()).OfType<LoggerMessageAttribute>(),
        ];
        Assert.NotEmpty(messages);
        Assert.All(messages, message => Assert.InRange(message.EventId, 1000, 1999));
        Assert.All(messages, message => Assert.Equal(LogLevel.Debug, message.Level));
        Assert.Equal(messages.Length, messages.Select(message => message.EventId).Distinct().Count());
    }
}
