using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.Host.Api;

namespace OpenSandbox.Host.Tests;

public sealed class AttachmentsTests
{
    [Fact]
    public void Limit_SessionsThatNobodyComesTo_TakeBoundedMemory()
    {
        var attached = new Attachments(new ManualClock(), NullLogger.Instance);
        var sandbox = (Sandbox)RuntimeHelpers.GetUninitializedObject(typeof(Sandbox)); // one that runs, as far as it is asked
        attached.Limit(sandbox, "held", TimeSpan.FromHours(1));
        attached.Enter(sandbox, "held");
        for (int i = 0; i < 4 * Attachments.MaxWaiting; i++)
        {
            attached.Limit(sandbox, $"s{i}", TimeSpan.FromHours(1));
        }

        Assert.InRange(attached.Count, Attachments.MaxWaiting / 4, Attachments.MaxWaiting + 1);
        Assert.Equal(1, attached.ClientsOf(sandbox, "held"));
    }
}
