namespace OpenSandbox.Agent;

/// <summary>The little that the agent must know of DNS messages (RFC 1035, section 4.1.1): the host does the rest.</summary>
internal static class DnsMessages
{
    /// <summary>Size of the header.</summary>
    internal const int HeaderSize = 12;

    /// <summary>Largest query that is passed on.</summary>
    internal const int MaxQuery = 4096;

    private const byte Response = 0x80;
    private const byte RecursionAvailable = 0x80;
    private const byte ServerFailure = 2;

    /// <summary>The answer when the host gives none: SERVFAIL, with the question repeated, so that a resolver need not wait.</summary>
    internal static byte[] Failure(ReadOnlySpan<byte> query)
    {
        byte[] answer = query.ToArray();
        answer[2] |= Response;
        answer[3] = RecursionAvailable | ServerFailure;
        answer.AsSpan(6, 6).Clear(); // no records; what follows the question is padding to whoever reads it
        int end = QuestionEnd(query);
        return end < 0 ? Headless(answer) : answer[..end];
    }

    private static byte[] Headless(byte[] answer)
    {
        answer.AsSpan(4, 8).Clear();
        return answer[..HeaderSize];
    }

    private static int QuestionEnd(ReadOnlySpan<byte> query)
    {
        int at = HeaderSize;
        while (at < query.Length && query[at] is > 0 and < 64)
        {
            at += query[at] + 1;
        }

        at += 5; // the root label, type and class
        return at <= query.Length ? at : -1;
    }
}
